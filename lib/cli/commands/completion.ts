/**
 * `dogear completion`: prints a script by which a shell completes command lines.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { usage } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { completionScript, shells } from "../completion.ts";
import { jsonText } from "../format.ts";
import { didYouMean } from "../suggestion.ts";

// --- the command

/** `dogear completion`, for the commands that exist. */
export function completionCommand(commands: () => readonly Command[]): Command {
  return defineCommand({
    name: "completion",
    summary: "complete commands with the Tab key",
    usage: "SHELL",
    completes: shells,
    description:
      `Prints a script by which a shell completes commands, options, files and folders of dogear. SHELL is bash, zsh or fish.
For each new shell, write eval\u00a0"$(dogear\u00a0completion\u00a0bash)" into ~/.bashrc, eval\u00a0"$(dogear\u00a0completion\u00a0zsh)" into ~/.zshrc after
compinit, or dogear\u00a0completion\u00a0fish\u00a0|\u00a0source into ~/.config/fish/config.fish. It is for a dogear that is installed, not for one
that bunx or npx starts.`,
    options: {},
    examples: [
      ["bash", "the script for bash"],
      ["zsh > _dogear", "as a file, for a folder of $fpath"],
      ["fish | source", "complete in this fish"],
    ],
    json: "{ shell, script }",
    parse: ({ words: [word, ...more] }) => {
      const shell = shells.find((one) => one === word);
      if (shell !== undefined && more.length === 0) return E.right(shell);
      const found = word === undefined ? "none" : [word, ...more].map((one) => JSON.stringify(one)).join(" ");
      const meant = shell === undefined && word !== undefined ? didYouMean(word, shells) : "";
      return usage(`Expected a shell: ${shells.join(", ")}, found ${found}${meant === "" ? "" : `.${meant}`}`);
    },
    run: (shell) => {
      const script = completionScript(shell, commands());
      return TE.right({ json: [jsonText({ shell, script: `${script.join("\n")}\n` })], text: script });
    },
  });
}
