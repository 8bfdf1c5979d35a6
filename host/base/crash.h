/* Libraries that use memory without looking whether they got any: libconfig, oneDNN, what cairo draws with. The process
 * would end by a signal, as by a fault of its own; from here on it ends with one line and status 2 where memory is what
 * its thread lacked last (errno). All that was saved until then is whole, as when it is killed. Other crashes are as
 * before. */
#ifndef NASRUN_BASE_CRASH_H
#define NASRUN_BASE_CRASH_H

/* Once, at a program's start; `program` stands in front of the line, and is a constant. */
void crash_tell_memory(const char *program);

#endif
