/**
 * Completion for shells: scripts made from the tables of commands and options. They complete commands, options, files and folders, without
 * running the command line.
 *
 * @module
 */
import { generalOptions, type Option } from "./arguments.ts";
import type { Help } from "./help.ts";

// --- types

/** The shells that a script can be made for. */
export type Shell = "bash" | "zsh" | "fish";

/** What completes a word: paths of a kind, some words, or nothing. */
type Kind = "files" | "folders" | "nothing" | readonly string[];

// --- the tables

function optionsOf({ options }: Help): readonly (readonly [string, Option])[] {
  return Object.entries({ ...options, ...generalOptions });
}

/** What the words of a command are. */
function wordsOf({ completes = "folders" }: Help): Kind {
  return completes;
}

/** What the value of an option is. */
function valueKind({ value }: Option): Kind {
  return value === "FILE" ? "files" : value === "FOLDER" ? "folders" : "nothing";
}

/** What is typed instead of a command. */
const otherFirst = [["help", "show the help of a command"], ["--help", "show all of the help"], [
  "--version",
  "print the version",
]] as const;

/** The commands, and a command that completes their names. */
function withHelp(commands: readonly Help[]): readonly Help[] {
  const names = commands.map(({ name }) => name);
  const help: Help = {
    name: "help",
    summary: "show the help of a command",
    usage: "COMMAND",
    completes: names,
    description: "",
    options: {},
    examples: [],
    json: "",
  };
  return [...commands, help];
}

// --- bash

/** Also for bash 3.2, which macOS has. */
function bash(commands: readonly Help[]): readonly string[] {
  const ofKind = (kind: Kind): string => typeof kind === "string" ? kind : kind.join(" ");
  const first = [...commands.map(({ name }) => name), ...otherFirst.map(([name]) => name)].join(" ");
  const all = withHelp(commands);
  return [
    `# Completion of dogear for bash. In ~/.bashrc: eval "$(dogear completion bash)"`,
    "_dogear() {",
    "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= kind= options= i",
    "  COMPREPLY=()",
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    "    [[ ${COMP_WORDS[i]} == -* ]] || { command=${COMP_WORDS[i]}; break; }",
    "  done",
    "  # bash splits words at = and @.",
    "  [[ $word == @ || $before == @ ]] && return",
    "  [[ $word == = ]] && word=",
    "  [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD - 2]}",
    "  case $command in",
    ...all.map((one) => {
      const names = optionsOf(one).map(([name]) => `--${name}`).join(" ");
      return `    ${one.name}) options='${names}' kind='${ofKind(wordsOf(one))}' ;;`;
    }),
    `    '') options='${first}' kind=$options ;;`,
    "    *) return ;;",
    "  esac",
    "  case $command:$before in",
    ...all.flatMap((one) =>
      optionsOf(one).filter(([, { value }]) => value !== undefined)
        .map(([name, option]) => `    ${one.name}:--${name}) kind=${ofKind(valueKind(option))} ;;`)
    ),
    "    *) [[ $word == -* ]] && kind=$options ;;",
    "  esac",
    '  while IFS= read -r i; do COMPREPLY+=("$i"); done < <(',
    "    case $kind in",
    '      (files) compgen -f -- "$word" ;;',
    '      (folders) compgen -d -- "$word" ;;',
    "      (nothing) ;;",
    '      (*) compgen -W "$kind" -- "$word" ;;',
    "    esac",
    "  )",
    "}",
    "complete -o filenames -F _dogear dogear",
  ];
}

// --- zsh

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function zsh(commands: readonly Help[]): readonly string[] {
  const action = (kind: Kind): string =>
    kind === "files" ? "_files" : kind === "folders" ? "_files -/" : kind === "nothing" ? " " : `(${kind.join(" ")})`;
  const optionSpec = ([name, option]: readonly [string, Option]): string => {
    const { value, help, multiple = false } = option;
    const about = `[${help.replace(/[[\]]/g, "\\$&")}]`;
    if (value === undefined) return zshQuoted(`--${name}${about}`);
    return zshQuoted(`${multiple ? "*" : ""}--${name}=${about}:${value}:${action(valueKind(option))}`);
  };
  return [
    "#compdef dogear",
    `# Completion of dogear for zsh. In ~/.zshrc, after compinit: eval "$(dogear completion zsh)"`,
    "_dogear() {",
    "  if (( CURRENT == 2 )); then",
    "    local -a commands=(",
    ...[...commands.map(({ name, summary }) => [name, summary] as const), ...otherFirst]
      .map(([name, about]) => `      ${zshQuoted(`${name}:${about}`)}`),
    "    )",
    "    _describe command commands",
    "    return",
    "  fi",
    "  shift words",
    "  (( CURRENT-- ))",
    "  case $words[1] in",
    ...withHelp(commands).flatMap((one) => [
      `    ${one.name}) _arguments -S \\`,
      ...optionsOf(one).map((option) => `      ${optionSpec(option)} \\`),
      `      ${zshQuoted(`*:${typeof wordsOf(one) === "string" ? wordsOf(one) : "word"}:${action(wordsOf(one))}`)} ;;`,
    ]),
    "  esac",
    "}",
    'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _dogear "$@"; else compdef _dogear dogear; fi',
  ];
}

// --- fish

function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function fish(commands: readonly Help[]): readonly string[] {
  const action = (kind: Kind): string =>
    kind === "files"
      ? "-F"
      : kind === "folders"
      ? "-f -a '(__fish_complete_directories)'"
      : kind === "nothing"
      ? "-f"
      : `-f -a ${fishQuoted(kind.join(" "))}`;
  const optionLine = (command: string, [name, option]: readonly [string, Option]): string => {
    const isHelp = name === "help" ? " -s h" : "";
    const value = option.value === undefined ? "" : ` -r ${action(valueKind(option))}`;
    return `complete -c dogear -n ${condition(command)}${isHelp} -l ${name} -d ${fishQuoted(option.help)}${value}`;
  };
  const condition = (command: string): string => `'__fish_seen_subcommand_from ${command}'`;
  return [
    "# Completion of dogear for fish. Once: dogear completion fish > ~/.config/fish/completions/dogear.fish",
    "complete -c dogear -e",
    "complete -c dogear -f",
    ...[...commands.map(({ name, summary }) => [name, summary] as const), ...otherFirst].map(([name, about]) =>
      `complete -c dogear -n __fish_use_subcommand -a ${name} -d ${fishQuoted(about)}`
    ),
    ...withHelp(commands).flatMap((one) => [
      `complete -c dogear -n ${condition(one.name)} ${action(wordsOf(one))}`,
      ...optionsOf(one).map((option) => optionLine(one.name, option)),
    ]),
  ];
}

// --- constructors

const scripts: Readonly<Record<Shell, (commands: readonly Help[]) => readonly string[]>> = { bash, zsh, fish };

/** The names of the shells. */
export const shells: readonly Shell[] = Object.keys(scripts) as Shell[];

/** The lines of the script for a shell. */
export function completionScript(shell: Shell, commands: readonly Help[]): readonly string[] {
  return scripts[shell](commands);
}
