#!/bin/bash
# Eight trainings as a Slurm array, which survive preemption and outlast the time limit of a job:
#
#     RUNS=s3://my-bucket/sweep sbatch slurm.sh
#
# 120 seconds before the limit, and at a preemption with a grace time, Slurm sends SIGTERM to the job step. The training saves and ends with 75, and this
# script puts the job back into the queue. Each array index has a prefix of its own, so it resumes there. Any other exit code ends the job.
#SBATCH --job-name=sweep
#SBATCH --array=0-7
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
#SBATCH --output=sweep-%A-%a.log

# The binary itself: npm's `deno` is a script that does not pass SIGTERM on.
# In Deno: RUNTIME="$HOME/.deno/bin/deno run -A"
read -ra runtime <<<"${RUNTIME:-$HOME/.bun/bin/bun}"

# `srun` makes the job step that receives the signal. Without it Slurm signals nothing: --signal leaves out the batch shell.
srun "${runtime[@]}" train.ts "${RUNS:-s3://my-bucket/sweep}/$SLURM_ARRAY_TASK_ID"
code=$?

if [ "$code" -eq 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
