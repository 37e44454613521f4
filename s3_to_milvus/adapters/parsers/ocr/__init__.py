"""Pictures of text, read by tesseract."""

from s3_to_milvus.adapters.parsers.ocr.parser import OcrParser

__all__ = ["OcrParser"]
