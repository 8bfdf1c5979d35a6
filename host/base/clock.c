#include "host/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double clock_thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The 22nd field of /proc/self/stat, ticks since the machine was started (proc(5)); fields are counted behind
 * the second, the program's name in parentheses, which may hold blanks. 0: not known. */
static unsigned long long start_ticks(void)
{
    char line[1024];
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return 0;
    const char *at = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, "%llu", &ticks) != 1)
        ticks = 0;
    fclose(file);
    return ticks;
}

double clock_process_start(void)
{
    struct timespec booted;
    unsigned long long ticks = start_ticks();
    double now = clock_seconds();
    if (ticks == 0 || clock_gettime(CLOCK_BOOTTIME, &booted) != 0)
        return now;
    double age =
        (double)booted.tv_sec + 1e-9 * (double)booted.tv_nsec - (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return age > 0.0 ? now - age : now;
}

void clock_date(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
