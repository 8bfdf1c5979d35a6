/* Memory: what the process is going to take, known before each training begins, beside what it took.
 *
 *     memory_begin -> data and devices are opened -> memory_opened ->
 *     memory_reserve and memory_release around each training -> memory_reserved beside memory_peak at the end
 *
 * Nothing in it is a margin: the base is measured once, when data and device are open; all that is added
 * later is counted from the devices' prepared programs and the sizes of the weights.
 */
#ifndef NASRUN_MACHINE_MEMORY_H
#define NASRUN_MACHINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
    bool device_is_host; /* the devices' memory is the process's own */
    size_t base;         /* resident when all was open: the program, its libraries, the data */
    size_t opening;      /* the most until then, with files being decoded and the device's probes */
    size_t in_training;  /* that the candidates in training were reckoned to add to the base */
    size_t largest;      /* the most of that, with what the weight cache held */
};

/* What one candidate or test needs, in bytes. */
struct memory_need {
    size_t training;    /* device: the trainer's programs and weights, on each of its devices */
    int32_t devices;    /* that the training is shared by; 0 as 1 */
    size_t inheritance; /* device: programs and weights while the child inherits; 0: fresh weights */
    /* its weights as float32: held once for the weight cache and once on the host, for upload or file */
    size_t values;
    size_t parent; /* host: its parent's values, which may have to be read from a file; 0: none */
    size_t past;   /* host: the training that it goes on from, until its own has that; 0: none */
    /* host: a test's probabilities and what is counted by them; and the rows of predictions.csv, which are made of them
     * once the trainer is closed; 0: no test */
    size_t answers, predictions;
    size_t added; /* by all of it, to the base; memory_reserve sets it */
};

/* Before anything large is allocated: blocks of 1 MiB and more go back to the system when they are freed, so
 * that no network's memory stays with the process behind the next one's. */
void memory_begin(void);

/* Notes base and opening. */
void memory_opened(struct memory *memory, bool device_is_host);

/* Reserves what a candidate or test adds, beside those in training and what the weight cache holds in the process's own
 * memory; takes it away again when it has ended. */
void memory_reserve(struct memory *memory, struct memory_need *need, size_t cached);
void memory_release(struct memory *memory, const struct memory_need *need);

/* The most that the process should take for what was reserved so far, and the most that it took. */
size_t memory_reserved(const struct memory *memory);
size_t memory_peak(void);

#endif
