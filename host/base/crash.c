#include "host/base/crash.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

/* Written once, before there are threads; a signal's handler has no other way to them. */
static const char *name;
static struct sigaction before[SIGNALS];

static void say(const char *text)
{
    const ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void on_crash(int number)
{
    if (errno == ENOMEM) {
        say(name);
        say(": out of memory, in a library that can't do without\n");
        _exit(2);
    }
    /* What has crashed is done again, and meets who was asked before. */
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == number)
            sigaction(number, &before[i], NULL);
    if (number == SIGABRT)
        raise(number);
}

void crash_tell_memory(const char *program)
{
    struct sigaction action = {.sa_handler = on_crash};
    name = program;
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
}
