/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

/*
 * The packet as the hook has it, for headers that serve more than one kind of hook: frame_t and the few functions
 * both kinds have. A program for XDP includes frame-xdp.h before everything else.
 */
#ifndef FRAME_XDP
#include "frame-skb.h"
#endif
