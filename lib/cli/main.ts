#!/usr/bin/env node
/**
 * The command line: `dogear ls | inspect | verify | diff | prune | export | index`. It never loads tfjs.
 *
 * @module
 */
import process from "node:process";
import { runCommand } from "./run_command.ts";
import { terminal } from "./terminal.ts";

process.exitCode = await runCommand(process.argv.slice(2), terminal());
