#!/usr/bin/env node
/**
 * The command line. It never loads tfjs.
 *
 * Read `command.ts` first: a command is its help, how it parses its arguments, and how it runs. `arguments.ts`, `suggestion.ts`, `reference.ts` (RUN@CHECKPOINT)
 * and `help.ts` serve the arguments, `completion.ts` the shells; `stores.ts` (a folder or a URL), `checkpoint_status.ts`, `orphans.ts` and `statistics.ts` the work; `format.ts`, `table.ts` and
 * `terminal.ts` the output. `commands/` has one file for each command, and `run_command.ts` finds the one that was typed. `inspection.ts`,
 * `component_facts.ts` and `model_table.ts` say what is in a checkpoint, `unknown_part.ts` what was meant by a part that is not there, `export_curves.ts` and `run_logs.ts` serve TensorBoard; `serve/` is the server of the page, and `serve/page/` the page.
 *
 * @module
 */
import { runCommand } from "./run_command.ts";
import { terminal } from "./terminal.ts";

process.exitCode = await runCommand(process.argv.slice(2), terminal());
