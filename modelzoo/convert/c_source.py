"""A LiteRT file as a C source with its header, for microcontrollers."""

import hashlib
import re
from pathlib import Path
from typing import Any

HEADER = """\
#ifndef {guard}
#define {guard}

#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}[]; /* a LiteRT file, aligned to 16 bytes */
extern const unsigned int {name}_length; /* bytes */

#ifdef __cplusplus
}}
#endif

#endif
"""
SOURCE = """\
/* {title}
 *
{facts}
 */
#include "{header}"

#if defined(__GNUC__) || defined(__clang__)
#define ALIGNED __attribute__((aligned(16)))
#elif defined(_MSC_VER)
#define ALIGNED __declspec(align(16))
#else
#define ALIGNED /* align {name} to 16 bytes by your linker */
#endif

ALIGNED const unsigned char {name}[] = {{
{rows}
}};
const unsigned int {name}_length = {length}U;
"""
PER_ROW = 16


def write_c_source(path: Path, content: bytes, facts: dict[str, Any]) -> None:
    """Write `content` as an array in C99 to `path`, a `.c`, and its declaration to the `.h` beside.

    The array is called as the file, with _ for what no name in C may hold.
    """
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    name = f"_{name}" if name[0].isdigit() else name
    header = path.with_suffix(".h")
    _, height, width, channels = facts["input_shape"]
    pixel = "red, green, blue of each pixel" if channels == 3 else "one number a pixel"
    told = {
        "sha256": hashlib.sha256(content).hexdigest(),
        **facts,
        "to prepare an image": f"resize it to {height} rows of {width} pixels and store it row by "
        f"row, {pixel}, light and dark as in the training images",
    }
    lines = [f" * {key}: {_as_comment(value)}" for key, value in told.items()]
    rows = (content[start : start + PER_ROW] for start in range(0, len(content), PER_ROW))
    header.write_text(HEADER.format(guard=f"{name.upper()}_H", name=name), "utf-8")
    text = SOURCE.format(
        title=header.name,
        facts="\n".join(lines),
        header=header.name,
        name=name,
        rows="\n".join(f"  {', '.join(f'0x{byte:02x}' for byte in row)}," for row in rows),
        length=len(content),
    )
    path.write_text(text, "utf-8")


def read_c_source(path: Path) -> bytes:
    """Return the bytes that the array of `write_c_source` holds."""
    _, _, array = path.read_text("utf-8").partition("[] = {")
    return bytes.fromhex("".join(re.findall(r"0x([0-9a-f]{2})", array)))


def _as_comment(value: Any) -> str:
    """Return text that cannot end a comment of C; class names may come from anybody."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /")
