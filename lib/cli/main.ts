#!/usr/bin/env node
/**
 * The command line. It never loads tfjs.
 *
 * Read `command.ts` first: a command is its help, how it parses its arguments, and how it runs. `commands/` has one file for each command, and
 * `run_command.ts` finds the one that was typed.
 *
 * - Arguments: `arguments.ts`, `suggestion.ts`, `reference.ts` (RUN@CHECKPOINT), `help.ts`, and `completion.ts` for shells.
 * - Work: `stores.ts` (a folder or a URL), `nearby.ts` (runs near a place without one), `checkpoint_status.ts`, `sorting.ts`, `orphans.ts`, `statistics.ts`.
 * - Checkpoints: `inspection.ts`, `component_facts.ts` and `model_table.ts` say what is in one, `unknown_part.ts` what was meant by a part that is not.
 * - Output: `format.ts`, `text_width.ts`, `table.ts`, `terminal.ts`.
 * - Curves: `export_curves.ts` and `run_logs.ts` serve TensorBoard; `serve/` is the server of the page, and `serve/page/` the page.
 *
 * @module
 */
import { runCommand } from "./run_command.ts";
import { terminal } from "./terminal.ts";

process.exitCode = await runCommand(process.argv.slice(2), terminal());
