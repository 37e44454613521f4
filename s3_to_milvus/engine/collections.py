"""Which collection holds an object's rows: labels people see, names Milvus can hold, made when first needed."""

import threading

from s3_to_milvus.domain.adopting import original_name
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.routing import collection_label, collection_name, is_left_out, route_of
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.engine.integrity import inspect
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import ConfigError, SchemaMismatch
from s3_to_milvus.ports import CollectionCounts

__all__ = ["Collections"]


class Collections:
    """Resolves labels to collections of the embedder in use; vectors of two models never share one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._known: dict[str, CollectionSpec] = {}
        self._ensured: set[str] = set()
        self._verified: set[str] = set()
        self._blocked: dict[str, tuple[float, SchemaMismatch]] = {}
        self._adopting: set[str] = set()

    def label_of(self, ref: ObjectRef) -> str | None:
        """The label of the object's collection; None where no route leads it into one."""
        route = route_of(self._parts.routes, ref)
        return None if route is None or is_left_out(route, ref) else collection_label(route, ref)

    def spec_of(self, label: str) -> CollectionSpec:
        """The collection for a label; not made yet."""
        spec = self._known.get(label)
        if spec is None:
            with self._lock:
                spec = self._known[label] = self._choose(label)
        return spec

    def verify(self, label: str) -> None:
        """Raise `SchemaMismatch` where what stands under this name can't hold our rows: before a document is paid for.

        Makes nothing, unless making it was refused before. A refusal holds for a while without asking Milvus again.
        """
        if label in self._verified:
            return
        now = self._parts.clock.now()
        until, error = self._blocked.get(label, (0.0, None))
        if error is not None and now < until:
            raise SchemaMismatch(error.message, hint=error.hint)
        try:
            spec = self.spec_of(label)
            self._refuse_unfinished(spec)
            if error is not None or spec.name in self._parts.vectors.collections():
                self.ensure(label)
        except SchemaMismatch as refused:
            self._block(label, refused)
            raise
        self._blocked.pop(label, None)
        self._verified.add(label)

    @property
    def blocked(self) -> list[SchemaMismatch]:
        """Of the collections that refuse their objects."""
        return [error for _, error in list(self._blocked.values())]

    def ensure(self, label: str) -> CollectionSpec:
        """The collection for a label, remembered in the ledger and made in Milvus."""
        spec = self.spec_of(label)
        if spec.name in self._ensured:
            return spec
        with self._opening:  # rows that another worker inserts meanwhile would be taken for rows too many
            if spec.name in self._ensured:
                return self.spec_of(label)
            try:
                spec = self._open(spec)
            except SchemaMismatch as refused:
                self._block(label, refused)
                raise
            with self._lock:
                self._known[label] = spec
                self._ensured.add(spec.name)
        return spec

    def _open(self, spec: CollectionSpec) -> CollectionSpec:
        """Make it ready for rows. What it holds is looked at before: the first new row would hide what is missing."""
        vectors, ledger = self._parts.vectors, self._parts.ledger
        known = next((each for each in ledger.collections() if each.spec.name == spec.name), None)
        counts = known or CollectionCounts(spec, 0, 0)
        vectors.ensure(spec, counts.last_id)
        is_suspect = counts.is_suspect or inspect(vectors, ledger, counts) is not None
        spec = ledger.add_collection(spec)
        if is_suspect:
            ledger.set_collection(spec.name, is_suspect=True)
        if not vectors.mark(spec.name):
            vectors.put_mark(spec.name, ledger.mark)
            ledger.set_collection(spec.name, is_marked=True)
        return spec

    def adopt(self, spec: CollectionSpec) -> None:
        """Let the label's rows go into this collection from now on. Raises `ConfigError` where they go elsewhere."""
        known = self._parts.ledger.add_collection(spec)
        if known.name != spec.name:
            raise ConfigError(
                f"The ledger has another collection for {spec.label} already: {known.name}.",
                hint="Take the collection over with a new data folder (S2M_DATA_DIR).",
            )
        with self._lock:
            self._known[spec.label] = known
            self._adopting.add(spec.name)
            self._blocked.pop(spec.label, None)

    def names_for(self, label: str) -> set[str]:
        """Every collection that ever held rows under this label."""
        known = {each.spec.name for each in self._parts.ledger.collections() if each.spec.label == label}
        return known | {self.spec_of(label).name}

    def _block(self, label: str, refused: SchemaMismatch) -> None:
        self._verified.discard(label)
        self._blocked[label] = (self._parts.clock.now() + self._parts.config.retry.blocked_s / 2, refused)

    def _refuse_unfinished(self, spec: CollectionSpec) -> None:
        """While a take-over is not finished, nothing is embedded that it would copy."""
        name, originals = original_name(spec.name), self._parts.vectors.originals
        if not name or originals is None or spec.name in self._adopting:
            return
        standing = originals.describe(name)
        if standing is not None and not standing.is_ours:
            raise SchemaMismatch(
                f"The take-over of the collection {name} has begun and is not finished.",
                hint=f"Finish it: s3-to-milvus adopt --collection {name} --apply",
            )

    def _real_name(self, name: str) -> str:
        """Of what stands under a name: after a take-over it is an alias, which a new ledger does not know."""
        originals = self._parts.vectors.originals
        try:
            found = None if originals is None else originals.describe(name)
        except SchemaMismatch:  # somebody else's: `verify` says so
            return name
        return found.name if found is not None and found.is_ours else name

    def _choose(self, label: str) -> CollectionSpec:
        embedder = self._parts.embedder
        name = collection_name(label)
        is_taken = False
        for each in self._parts.ledger.collections():
            if (each.spec.label, each.spec.embedder) == (label, embedder.fingerprint):
                return each.spec
            is_taken |= name == each.spec.name or label == each.spec.label  # by an alias, where it was taken over
        name = f"{name}_{embedder.fingerprint[-6:]}" if is_taken else self._real_name(name)
        return CollectionSpec(name, label, embedder.dim, embedder.fingerprint)
