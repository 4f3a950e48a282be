"""A Python script, read without running it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from tuner.cli.scripts.commands import command_of
from tuner.cli.scripts.declared import declared_options
from tuner.cli.scripts.option import Option
from tuner.cli.scripts.signs import Signs, signs_of
from tuner.errors import UserError

_OF_HF_TRAINER = (
    Option(flag="--per_device_train_batch_size", kind="int", default=8, help="of each rank"),
    Option(flag="--gradient_accumulation_steps", kind="int", default=1, help="for an update"),
    Option(flag="--dataloader_num_workers", kind="int", default=0, help="processes that load"),
    Option(flag="--bf16", kind="str", default="false", choices=("false", "true")),
    Option(flag="--output_dir", kind="str", is_required=True, help="where checkpoints go"),
)
"""Of the options that `TrainingArguments` of transformers brings those that matter here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a script tells of itself."""

    options: tuple[Option, ...]
    signs: Signs
    command: str = ""
    """The word that names which of its commands is meant; empty where it has only one."""


def read_script(path: Path) -> Script:
    """Raises UserError where it cannot be read."""
    if path.suffix in (".sh", ".yaml", ".yml", ".ipynb"):
        raise UserError(
            f"{path} is no Python script. Remedy: name the script that it starts; for any other "
            "command write a job file by `trimtab init` without a script"
        )
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not Python: {error.msg}") from error
    except ValueError as error:  # no UTF-8, or a null byte
        raise UserError(f"{path}: not Python: {error}") from error
    declared = tuple(declared_options(tree))
    command = None if declared else command_of(tree)
    word, options = command or ("", declared)
    if any(name in _identifiers(tree) for name in ("TrainingArguments", "HfArgumentParser")):
        known = {option.name for option in options}
        options += tuple(option for option in _OF_HF_TRAINER if option.name not in known)
    return Script(options=options, signs=signs_of(tree), command=word)


def _identifiers(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
