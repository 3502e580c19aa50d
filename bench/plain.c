/* The baseline of bench/save.ts: plain writes of 8 MiB one after the other, and one fsync. Prints the milliseconds they took. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const size_t piece = 8 << 20;
  char *bytes = malloc(piece);
  memset(bytes, 7, piece);
  struct timespec begun, done;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  int file = open(argv[1], O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (file < 0) return 1;
  for (size_t left = strtoull(argv[2], NULL, 10); left > 0;) {
    ssize_t written = write(file, bytes, left < piece ? left : piece);
    if (written <= 0) return 1;
    left -= written;
  }
  if (fsync(file) != 0 || close(file) != 0) return 1;
  clock_gettime(CLOCK_MONOTONIC, &done);
  printf("%.3f\n", (done.tv_sec - begun.tv_sec) * 1e3 + (done.tv_nsec - begun.tv_nsec) / 1e6);
  return 0;
}
