/* SPDX-License-Identifier: MIT */
/* The explorer. */
#ifndef TARE_UI_UI_H
#define TARE_UI_UI_H

/* Runs the explorer with the arguments of the program; returns the exit status. */
int ui_main(int argc, char **argv);

#endif
