"""The words of the page in English and Korean, and which of the two a reader wants."""

import re
from collections.abc import Callable

__all__ = ["LANGUAGES", "language_of", "translator"]

LANGUAGES = {"en": "English", "ko": "한국어"}
_KOREAN = {
    "Search": "검색",
    "What are you looking for?": "무엇을 찾으시나요?",
    "all folders": "모든 폴더",
    "Nothing was found.": "검색 결과가 없습니다.",
    "Results": "검색 결과",
    "page": "쪽",
    "Status": "현황",
    "indexed": "색인됨",
    "waiting": "대기 중",
    "running": "처리 중",
    "failed": "실패",
    "empty": "내용 없음",
    "Seconds until searchable (median, 95 %)": "검색 가능까지 걸린 시간(초; 중앙값, 95 %)",
    "Collections": "컬렉션",
    "folder": "폴더",
    "name in Milvus": "Milvus 이름",
    "documents": "문서",
    "rows": "행",
    "Failed documents": "실패한 문서",
    "document": "문서",
    "reason": "이유",
    "and more": "외에 더 있음",
    "Needs attention": "확인이 필요합니다",
    "The queue is held: nothing is indexed until this is solved.": "작업이 멈춰 있습니다. 아래 문제가 해결되어야 다시 시작됩니다.",  # noqa: E501
    "Nothing is indexed yet.": "아직 색인된 문서가 없습니다.",
    "Sources": "원본",
    "HTTP interface": "HTTP 인터페이스",
}


def language_of(wanted: str | None, accepted: str) -> str:
    """``wanted`` (``?lang=``) where it is one of ours, else the best of an Accept-Language header, else English."""
    if wanted in LANGUAGES:
        return wanted
    ranked = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, weight = part.strip().partition(";")
        found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", weight)
        quality = float(found[1]) if found else 1.0
        code = name.strip().lower().partition("-")[0]
        if code in LANGUAGES and quality > 0:
            ranked.append((-quality, place, code))
    return min(ranked)[2] if ranked else "en"


def translator(language: str) -> Callable[[str], str]:
    """From the English words to those of the language; English where there are none."""
    return (lambda text: _KOREAN.get(text, text)) if language == "ko" else (lambda text: text)
