"""Lists of genes and of ligand-receptor pairs as users write them: settings, files, command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from cytoripple._errors import InputError

Pair = tuple[str, str]
_Item = TypeVar("_Item", str, Pair)


def parse_gene_list(
    *, toml: Sequence[str] = (), file: str | Path | None = None, cli: str | None = None
) -> tuple[str, ...]:
    """Genes from the settings, then a file, then the command line, without repeats.

    Parameters
    ----------
    toml
        List of the settings file.
    file
        Text with one gene per line, or several separated by commas; ``#`` begins a comment.
    cli
        Genes separated by commas.

    Raises
    ------
    InputError
        The file cannot be read.

    Examples
    --------
    >>> from cytoripple.grn.lists import parse_gene_list
    >>> parse_gene_list(toml=["Actb"], cli="Sox2, Actb")
    ('Actb', 'Sox2')
    """
    return _merge(_genes, toml, file, cli)


def parse_lr_list(
    *, toml: Sequence[str] = (), file: str | Path | None = None, cli: str | None = None
) -> tuple[Pair, ...]:
    """Ligand-receptor pairs from the settings, then a file, then the command line, without repeats.

    Parameters
    ----------
    toml
        Items ``"L$R"`` or ``"L,R"``.
    file
        Lines ``L$R`` or ``L,R``, or several pairs as on the command line; ``#`` begins a comment.
    cli
        ``"L1$R1,L2$R2"`` or ``"L1,R1;L2,R2"``.

    Raises
    ------
    InputError
        The file cannot be read, or an item is not a pair.

    Examples
    --------
    >>> from cytoripple.grn.lists import parse_lr_list
    >>> parse_lr_list(toml=["Tgfb1$Tgfbr1"], cli="Spp1,Cd44;Tgfb1,Tgfbr1")
    (('Tgfb1', 'Tgfbr1'), ('Spp1', 'Cd44'))
    """
    return _merge(_pairs, toml, file, cli)


def _merge(
    parse: Callable[[str], list[_Item]], toml: Sequence[str], file: str | Path | None, cli: str | None
) -> tuple[_Item, ...]:
    texts = [*toml, *([] if file is None else _lines(Path(file))), *([] if cli is None else [cli])]
    return tuple(dict.fromkeys(item for text in texts for item in parse(text)))


def _lines(path: Path) -> Iterable[str]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list {path}: {error}") from None
    return [line.partition("#")[0] for line in text.splitlines()]


def _genes(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pairs(text: str) -> list[Pair]:
    if ";" in text:
        items = text.split(";")
    elif "$" in text:
        items = text.split(",")
    else:
        items = [text]
    return [_pair(item) for item in items if item.strip()]


def _pair(item: str) -> Pair:
    parts = [part.strip() for part in item.replace("$", ",").split(",")]
    if len(parts) != 2 or not all(parts):
        raise InputError(f"{item.strip()!r} is not a ligand-receptor pair: write Ligand$Receptor")
    return parts[0], parts[1]
