/* Sharing: how many trainings a GPU has side by side while a run searches. Small networks leave it idle, while it waits
 * for launches and while the host inherits weights, lowers and writes; two of them fill each other's gaps. A final fit
 * has every device for itself. */
#ifndef NASRUN_RUN_SHARING_H
#define NASRUN_RUN_SHARING_H

#include "host/run/run.h"

/* Workers for each device: 2 where that many together train so much faster than one alone that each of the candidates,
 * though slower, is worth it; 1 otherwise. Images a second. */
int32_t sharing_choose(double alone, double together);

/* How much longer a candidate's training takes beside the others on its device than alone, as measured; 1 with one. */
double sharing_slowdown(const struct run_sharing *sharing);

/* Finds run->sharing: what the job says; for "auto" on GPUs with a budget in seconds, and whenever a candidate's
 * seconds have to be known, by training the first starting network alone and side by side. With other budgets "auto" is
 * 1, for no clock decides there. The devices' further workers are opened. */
enum status sharing_find(struct run *run, struct error *err);

/* The same, unless the journal had it; a measurement is journalled, so that a resumed run shares alike. */
enum status sharing_open(struct run *run, struct error *err);

#endif
