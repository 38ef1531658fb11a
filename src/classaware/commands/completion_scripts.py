"""Completion scripts of the shells, from what the command line consists of."""

import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from classaware import __version__


class Words(NamedTuple):
    """What may stand in one place: words, and possibly names of files."""

    words: tuple[str, ...] = ()
    files: bool = False


FILES = Words(files=True)


class Following(NamedTuple):
    """What may follow a command: options, with what they take (None: nothing), and arguments."""

    options: Mapping[str, Words | None]
    arguments: Words


BASH = """\
# Completion of classaware @VERSION@ for bash, written by 'classaware completion bash'.
_classaware() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} first=2
    local offered=() files= found IFS=$' \\t\\n'
    # --option=value are three words to bash.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $command in
    @GROUPS@) command+=" ${COMP_WORDS[2]}" first=3 ;;
    esac
    if ((COMP_CWORD == 1)); then
        offered=(@COMMANDS@)
    elif ((COMP_CWORD < first)); then
        case ${COMP_WORDS[1]} in
@ACTIONS@
        esac
    elif [[ $word == -* ]]; then
        case $command in
@OPTIONS@
        esac
    else
        case "$command $before" in
@VALUES@
        *)
            files=yes
            case $command in
@ARGUMENTS@
            esac
            ;;
        esac
    fi
    COMPREPLY=()
    while IFS= read -r found; do
        COMPREPLY+=("$found")
    done < <(compgen -W "${offered[*]}" -- "$word")
    # Where no word fits, bash itself completes names of files.
    if [[ $files ]]; then
        if ((${#COMPREPLY[@]})); then
            while IFS= read -r found; do
                COMPREPLY+=("$found")
            done < <(compgen -f -- "$word")
            compopt -o filenames 2>/dev/null
        fi
    else
        compopt +o default 2>/dev/null
    fi
}
complete -o default -F _classaware classaware
"""

ZSH = """\
#compdef classaware
# Completion of classaware @VERSION@ for zsh, written by 'classaware completion zsh'.
_classaware() {
    local command=${words[2]} before=${words[CURRENT-1]} files=
    local -a offered
    if ((CURRENT == 2)); then
        offered=(
@COMMANDS@
        )
        if [[ $PREFIX == -* ]]; then
            compadd -- --help --version
        else
            _describe command offered
        fi
        return
    fi
    case $command in
@ACTIONS@
    esac
    if ((CURRENT == 3 && $#offered)); then
        _describe action offered
        return
    fi
    if (($#offered)); then
        command+=" ${words[3]}"
        offered=()
    fi
    if [[ $PREFIX == --*=* ]]; then
        before=${PREFIX%%=*}
        compset -P 1 '*='
    elif [[ $PREFIX == -* ]]; then
        case $command in
@OPTIONS@
        esac
        compadd -- $offered
        return
    fi
    case "$command $before" in
@VALUES@
    *)
        files=yes
        case $command in
@ARGUMENTS@
        esac
        ;;
    esac
    compadd -- $offered
    [[ -z $files ]] || _files
}
if [[ $funcstack[1] == _classaware ]]; then
    _classaware "$@"
else
    compdef _classaware classaware
fi
"""

SHELLS = {"bash": BASH, "zsh": ZSH}


def write_script(shell: str, purposes: Mapping[str, Mapping[str, str]], following: Mapping[str, Following]) -> str:
    """The script of a shell.

    Args:
        shell: one of ``SHELLS``.
        purposes: group ("" for the commands themselves) -> name -> what it does.
        following: command, or group and action -> what may follow.
    """
    entries = _described if shell == "zsh" else list
    groups = {group: names for group, names in purposes.items() if group}
    options = {command: Words(tuple(of.options)) for command, of in following.items()}
    values = {f"{command} {name}": of for command, all_ in following.items() for name, of in all_.options.items() if of}
    arguments = {command: Words(of.arguments.words) for command, of in following.items() if of.arguments.words}
    commands = entries(purposes[""])
    return _fill(
        SHELLS[shell],
        VERSION=__version__,
        GROUPS=" | ".join(groups),
        COMMANDS=_joined(commands, " " * 12) if shell == "zsh" else " ".join([*commands, "--help", "--version"]),
        ACTIONS=_cases({group: Words(tuple(entries(names))) for group, names in groups.items()}),
        OPTIONS=_cases(options),
        VALUES=_cases(values),
        ARGUMENTS=_cases(arguments),
    )


def _fill(template: str, **parts: str) -> str:
    for name, part in parts.items():
        template = template.replace(f"@{name}@", part)
    return template


def _described(names: Mapping[str, str]) -> list[str]:
    return [f"{name}:{purpose}" for name, purpose in names.items()]


def _joined(words: Iterable[str], indent: str) -> str:
    return "\n".join(indent + shlex.quote(word) for word in words)


def _cases(offers: Mapping[str, Words]) -> str:
    """Branches of ``case``, one for all that offer the same."""
    same: dict[Words, list[str]] = {}
    for place, offer in offers.items():
        same.setdefault(offer, []).append(shlex.quote(place))
    branches = []
    for offer, places in same.items():
        words = f"offered=({' '.join(map(shlex.quote, offer.words))})" if offer.words else ""
        branches.append(f"{' | '.join(places)}) {words} {'files=yes' if offer.files else ''} ;;")
    return "\n".join(" ".join(branch.split()) for branch in branches)
