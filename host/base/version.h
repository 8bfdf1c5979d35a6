/* The version: of the programs, the journals, the bundle, the packages. Scripts read it from these lines. */
#ifndef NASRUN_BASE_VERSION_H
#define NASRUN_BASE_VERSION_H

#define NASRUN_VERSION      "0.1.0"
#define NASRUN_VERSION_DATE "2026-11-28" /* the day it was released or, before that, begun */

#endif
