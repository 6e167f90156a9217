"""The `vg` command: builds the application, runs it, and turns errors into one to three lines and an exit code."""

from __future__ import annotations

import errno
import gc
import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Annotated

import typer

from vidground_core.cli.output import Output, route_logging
from vidground_core.errors import PluginError, StoppedError, VidGroundError
from vidground_core.plugins import Registry, load_registry

GLOBAL_FLAGS = ("--json", "--quiet", "--debug")
VERBS = ("run", "detect", "audit", "filter", "export", "train", "eval", "ablate", "report", "store", "components", "plugins", "doctor")
INTERRUPTED = 130


@dataclass(frozen=True)
class Session:
    """What every verb gets by `ctx.obj`."""

    registry: Registry
    output: Output


def build_app(registry: Registry) -> typer.Typer:
    """The application with all verbs, the plugins' own among them. Raises PluginError where a plugin adds a verb that exists."""
    app = typer.Typer(
        name="vg",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Find the video questions that can be answered without watching, drop them, train on the rest, and measure whether it helped.",
        epilog="--json, --quiet and --debug may stand anywhere on the line.",
    )
    app.callback()(_global_options)
    for verb in VERBS:
        import_module(f"vidground_core.cli.{verb}").register(app)
    _plugin_verbs(app, registry)
    return app


def _plugin_verbs(app: typer.Typer, registry: Registry) -> None:
    for implementation in registry.manager.hook.vidground_register_commands.get_hookimpls():
        before = _verbs(app)
        implementation.function(app)
        taken = [name for name in Counter(_verbs(app)) - Counter(before) if name in before]
        if taken:
            raise PluginError(f"plugin {implementation.plugin_name!r} adds the verb {taken[0]!r}, which exists already")


def _verbs(app: typer.Typer) -> list[str]:
    commands = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    return commands + [str(group.name) for group in app.registered_groups]


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"vg {metadata.version('vidground-core')}\n")
        raise typer.Exit


def _global_options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, everything else on standard error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No notes and no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    del version, as_json, quiet, debug  # read by main, so that they may stand anywhere on the line


def split_global_flags(arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """The arguments without the global flags, and those flags; nothing after `--` is touched."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    flags = {argument for argument in arguments[:end] if argument in GLOBAL_FLAGS}
    return [argument for i, argument in enumerate(arguments) if i >= end or argument not in GLOBAL_FLAGS], flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `vg`; ends the process with 0 done, 1 too many failures, 2 wrong usage or input, 3 limit reached, 130 interrupted."""
    rest, flags = split_global_flags(sys.argv[1:] if arguments is None else arguments)
    output = Output(as_json="--json" in flags, quiet="--quiet" in flags, debug="--debug" in flags)
    route_logging(output)
    # Tables become millions of small records that live on: looking for cycles among them every 700 took a fifth of the time.
    gc.set_threshold(50_000, 20, 20)
    sys.exit(_run(rest, output))


def _run(arguments: list[str], output: Output) -> int:
    try:
        registry = load_registry()
        code = build_app(registry)(args=arguments, prog_name="vg", standalone_mode=False, obj=Session(registry, output))
    except StoppedError as stop:
        output.stopped(str(stop))
        if output.as_json:
            output.result({"stopped": str(stop), **stop.facts}, lambda: None)
        return stop.exit_code
    except VidGroundError as error:
        if output.debug:
            traceback.print_exc()
        output.error(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            return _defect(error, output)
        context = getattr(error, "ctx", None)  # a wrong option or argument, found by the parser
        output.error(f"{error.format_message()}\n{context.get_usage() if context else 'see vg --help'}")
        return 2
    if code == INTERRUPTED:
        output.error(f"interrupted; what was done is kept. Run the same command again to go on:\n{shlex.join(['vg', *sys.argv[1:]])}")
    return code if isinstance(code, int) else 0


def _defect(error: Exception, output: Output) -> int:
    if output.debug:
        traceback.print_exc()
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        output.error(
            f"the disk is full{where}: {error.strerror}\nWhat was done is kept; make room and run the same command again to go on."
        )
        return 2
    if output.debug:
        return 1
    output.error(f"unexpected {type(error).__name__}: {error}\nThis is a defect of vg or a plugin; --debug shows the traceback.")
    return 1


if __name__ == "__main__":
    main()
