"""Pages of text as pictures: A4 at 11 pt in a Korean font, clean or as a bad scanner and a fax leave them."""

import io
from pathlib import Path
from typing import Any

__all__ = ["FONTS", "TEXTS", "font_file", "page"]

FONTS = ("NanumGothic", "NanumMyeongjo")
_PLACES = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts")
_A4_PT = (595, 842)
_MARGIN_PT, _SIZE_PT, _LEADING = 60, 11, 1.7

_NEWS = """서울시는 2026년 3월 14일 한강 수변 공간을 시민에게 돌려주기 위한 종합 계획을 발표했다. 이번 계획에는 \
5년 동안 모두 1조 2,400억 원이 들어가며, 여의도와 뚝섬을 비롯한 11개 지구에 도서관, 체육관, 수상 정류장이 새로 \
들어선다.
시 관계자는 “지난해 이용객이 8,100만 명을 넘어섰지만 쉴 곳은 턱없이 모자랐다”며 “주말마다 되풀이되는 주차난부터 \
풀겠다”고 말했다. 전문가들은 홍수 때의 안전 대책과 생태계 보전 방안이 함께 마련되어야 한다고 지적했다.
한편 기상청은 다음 주 중부 지방의 낮 기온이 18도까지 오르고, 목요일(19일) 오후부터 남해안에 최대 30mm의 비가 \
내릴 것으로 내다봤다. 환절기 감기와 꽃가루 알레르기에 특히 주의해야 한다.
국내 연구진은 값싼 철을 써서 수소를 만드는 촉매를 개발했다고 밝혔다. 백금 촉매의 97.3%에 이르는 효율을 보였고, \
1,000시간 넘게 써도 성능이 거의 떨어지지 않았다. 연구 결과는 국제 학술지에 실렸다."""

_LAW = """제1조(목적) 이 규정은 공공기관이 보유하는 정보의 공개에 필요한 사항을 정함으로써 국민의 알 권리를 \
보장하고 행정의 투명성을 확보함을 목적으로 한다.
제2조(정의) 이 규정에서 사용하는 용어의 뜻은 다음 각 호와 같다.
1. “정보”란 공공기관이 직무상 작성하거나 취득하여 관리하고 있는 문서(전자문서를 포함한다), 도면, 사진, 필름, \
테이프 및 그 밖에 이에 준하는 매체에 기록된 사항을 말한다.
2. “공개”란 공공기관이 정보를 열람하게 하거나 그 사본을 제공하는 것을 말한다.
제3조(비용의 부담) ① 정보의 공개 및 우송에 드는 비용은 실비의 범위에서 청구인이 부담한다. ② 공개를 청구하는 \
정보의 사용 목적이 공공복리의 유지·증진을 위하여 필요하다고 인정되는 경우에는 제1항에 따른 비용을 감면할 수 \
있다.
제4조(이의신청) 청구인은 결정 통지를 받은 날 또는 정보공개를 청구한 후 20일이 경과한 날부터 30일 이내에 해당 \
기관에 문서로 이의신청을 할 수 있다. 다만, 천재지변이나 그 밖의 불가피한 사유가 있는 때에는 그러하지 아니하다.
부칙 <제2026-17호, 2026. 7. 1.> 이 규정은 공포 후 6개월이 경과한 날부터 시행한다."""

_ENGLISH = """The harbour office counts every ship that enters the bay between six in the morning and nine at \
night. In 2025 it counted 14,382 of them, 7.5% more than in the year before, and wrote each one down by hand in \
large green books.
"Nobody reads the books," said the director, Mrs. Whitfield, "but without them we would not know how to plan \
the new quay." The plan, due on 30 June, costs $48 million; a third of it will be paid by the ministry.
Section 4. Payment of fees. (a) The fee shall be paid within thirty (30) days after the date of the notice. (b) \
Where the fee is not paid in time, interest at a rate of 0.5 per cent per month shall accrue until the date of \
payment.
Researchers have long asked why some languages keep their old spelling while others reform it every few \
decades. A study of 112 dictionaries, published last week, suggests that the answer lies in how schools buy \
their books, and how often printers have to replace their type. The authors warn against simple conclusions, \
however: in five countries the reform came first, and the new books followed only ten to fifteen years later."""

_MIXED = """본 계약은 ABC Trading Co., Ltd.(이하 “갑”)와 주식회사 한빛소프트웨어(이하 “을”) 사이의 Software \
License Agreement이며, 2026년 1월 1일부터 효력을 갖는다.
을은 갑에게 Vector Database 제품의 Enterprise Edition을 3년간 제공하고, 갑은 매년 USD 25,000을 지급한다. \
Service Level은 월 99.9%를 기준으로 하며, 장애가 30분을 넘으면 Service Credit을 지급한다.
시스템은 Python 3.12와 PostgreSQL 16에서 동작하고, API 문서는 OpenAPI 3.1 형식으로 제공된다. 사용자는 Web \
Console에서 Access Key를 발급받아 REST API를 호출할 수 있다.
The parties agree that this Agreement is made in Korean and English. 두 언어의 내용이 다를 때에는 국문본이 \
우선한다. Any notice shall be sent by e-mail to legal@example.com, 그리고 원본은 7일 이내에 등기우편으로 보낸다."""

TEXTS = (
    ("Korean", "news", _NEWS),
    ("Korean", "law", _LAW),
    ("English", "prose", _ENGLISH),
    ("mixed", "contract", _MIXED),
)
"""Language, kind, and text; a line of it is a paragraph."""


def font_file(name: str) -> Path | None:
    """The file of a font; None where it is not installed."""
    return next((found for place in _PLACES for found in Path(place).rglob(f"{name}.ttf")), None)


def page(text: str, font: Path, dpi: int, *, is_noisy: bool) -> bytes:
    """A PNG of the text; the noise is the same every time."""
    from PIL import Image, ImageDraw, ImageFont

    scale = dpi / 72
    size = (round(_A4_PT[0] * scale), round(_A4_PT[1] * scale))
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    letters = ImageFont.truetype(str(font), round(_SIZE_PT * scale))
    left = top = round(_MARGIN_PT * scale)
    for line in _lines(text, letters, size[0] - 2 * left):
        draw.text((left, top), line, font=letters, fill=0)
        top += round(_SIZE_PT * scale * _LEADING)
    assert top < size[1], "the text is longer than its page"
    out = io.BytesIO()
    (_worn(picture, dpi) if is_noisy else picture).save(out, "PNG", dpi=(dpi, dpi))
    return out.getvalue()


def _lines(text: str, letters: Any, width: int) -> list[str]:
    """Paragraphs cut between words, as wide as the page allows."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            if line and letters.getlength(f"{line} {word}") > width:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        lines.append(line)
    return lines


def _worn(picture: Any, dpi: int) -> Any:
    """Turned by 0.7 degrees, slightly blurred, with gaussian noise and specks, saved as a poor JPEG."""
    import numpy as np
    from PIL import Image, ImageFilter

    turned = picture.rotate(0.7, Image.Resampling.BICUBIC, fillcolor=255)
    blurred = turned.filter(ImageFilter.GaussianBlur(0.6 * dpi / 150))
    noise = np.random.default_rng(4711)
    grey = np.asarray(blurred, dtype=np.float64) * 0.9 + 20
    grey += noise.normal(0, 12, grey.shape)
    specks = noise.random(grey.shape)
    grey[specks < 0.001], grey[specks > 0.999] = 0, 255
    out = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=45)
    return Image.open(io.BytesIO(out.getvalue())).convert("L")
