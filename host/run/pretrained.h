/* Networks that were trained elsewhere and lie in the user's data folder, where samples/pretrained/convert.sh puts
 * them: what "pretrained" in search.starts stands for. And what a job's images are like where a starting network is a
 * file and the job doesn't say. */
#ifndef NASRUN_RUN_PRETRAINED_H
#define NASRUN_RUN_PRETRAINED_H

#include "host/base/error.h"
#include "spec/job.h"

#include <stdio.h>

/* $XDG_DATA_HOME/nasrun/pretrained, or ~/.local/share/nasrun/pretrained where that is not set; malloc'd. ST_RANGE where
 * there is no home either. */
enum status pretrained_folder(char **folder, struct error *err);

/* A line for each file there, by name: name, license, images, weights; or what is wrong with it. Without any how to get
 * one. */
enum status pretrained_list(FILE *out, struct error *err);

/* In search.starts "pretrained" becomes the path of the first file there by name; ST_RANGE without one, with a line
 * that says how to get it. Where dataset.resize is empty, and one of search.starts is a file, it becomes the size of
 * the first one's images, as far as dataset.max_side allows where the network takes images of any size;
 * dataset.channels becomes the network's where it is "auto". */
enum status pretrained_complete(struct job *job, struct error *err);

#endif
