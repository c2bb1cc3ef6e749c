// Cycles of a Verilated design: sends beats, takes beats, watches the rules of the streams.
//
// Inputs change while the clock is low and everything is sampled before it rises, so that a cycle
// takes two evaluations.

#include "driver.h"

#include <cstring>

namespace {

void put(const Signal &signal, const uint32_t *words) {
    memcpy(signal.value, words, signal.bytes);
}

uint32_t words_of(const Signal &signal) { return (signal.bits + 31) / 32; }

void send(const Port &port, const uint32_t *words) {
    for (const Signal &signal : port.payload) {
        put(signal, words);
        words += words_of(signal);
    }
}

void take(const Port &port, uint32_t *words) {
    for (const Signal &signal : port.payload) {
        words[0] = 0;
        memcpy(words, signal.value, signal.bytes);
        words += words_of(signal);
    }
}

// Random bits on a payload that nobody may look at.
void scribble(const Port &port, uint64_t &state) {
    for (const Signal &signal : port.payload) {
        for (uint32_t n = 0; n < words_of(signal); n++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            uint32_t word = uint32_t(state >> 16);
            const uint32_t left = signal.bits - 32 * n;
            if (left < 32) word &= (1u << left) - 1;
            memcpy(static_cast<char *>(signal.value) + 4 * n, &word,
                   signal.bytes < 4 ? signal.bytes : 4);
        }
    }
}

bool next(const Traffic &traffic, int64_t &place) {
    const bool bit = traffic.pattern[place];
    if (++place == traffic.period) place = 0;
    return bit;
}

}  // namespace

extern "C" void driver_control(Design *design, int64_t number, uint64_t value) {
    memcpy(design->controls[number].value, &value, design->controls[number].bytes);
}

extern "C" void driver_reset(Design *design, int64_t cycles) {
    *design->reset = design->active;
    for (size_t n = 0; n + 1 < design->ports.size(); n++) *design->ports[n].valid = 0;
    *design->ports.back().ready = 0;
    const auto tick = [design] {
        *design->clock = 0;
        design->eval();
        *design->clock = 1;
        design->eval();
    };
    for (int64_t cycle = 0; cycle < cycles; cycle++) tick();
    *design->reset = !design->active;
    // A shell's reset, active low, is registered: the unit leaves it a cycle after the port.
    if (!design->active) tick();
}

extern "C" void driver_run(Design *design, Run *run) {
    const size_t inputs = design->ports.size() - 1;
    const Port &output = design->ports[inputs];
    Traffic &taken = run->traffic[inputs];
    std::vector<int64_t> place(inputs + 1);
    std::vector<char> offering(inputs);
    std::vector<uint32_t> held(output.words);
    uint64_t state = uint64_t(run->junk) * 2 + 1;
    bool waiting = false;
    int64_t idle = 0, cycle = 0;
    run->rise = 0;
    for (size_t n = 0; n <= inputs; n++) run->traffic[n].done = 0;
    for (size_t n = 0; n < inputs; n++) scribble(design->ports[n], state);

    for (run->status = FINISHED;;) {
        if (taken.done == taken.count ? idle >= run->quiet : idle > run->patience) {
            if (taken.done != taken.count) run->status = SILENT;
            break;
        }
        if (run->limit && cycle >= run->limit) {
            run->status = STOPPED;
            break;
        }
        cycle++;
        for (size_t n = 0; n < inputs; n++) {
            const Port &port = design->ports[n];
            Traffic &traffic = run->traffic[n];
            if (offering[n]) continue;
            if (traffic.done < traffic.count && next(traffic, place[n])) {
                send(port, traffic.beats + traffic.done * port.words);
                traffic.offered[traffic.done] = cycle;
                offering[n] = *port.valid = 1;
            } else if (*port.valid) {
                *port.valid = 0;
                scribble(port, state);
            }
        }
        *output.ready = taken.done == taken.count
                        || ((!run->waits || waiting) && next(taken, place[inputs]));
        *design->clock = 0;
        design->eval();

        idle++;
        for (size_t n = 0; n < inputs; n++) {
            Traffic &traffic = run->traffic[n];
            if (offering[n] && *design->ports[n].ready) {
                traffic.moved[traffic.done++] = cycle;
                offering[n] = 0;
                idle = 0;
            }
        }
        if (*output.valid) {
            uint32_t *beat = taken.beats + taken.done * output.words;
            take(output, beat);
            if (!waiting) {
                taken.offered[taken.done] = cycle;
                memcpy(held.data(), beat, output.words * sizeof(uint32_t));
            } else if (memcmp(held.data(), beat, output.words * sizeof(uint32_t))) {
                run->status = CHANGED;
            }
            if (taken.done == taken.count) run->status = EXTRA;
            waiting = true;
            if (run->status == FINISHED && *output.ready) {
                taken.moved[taken.done++] = cycle;
                waiting = false;
                idle = 0;
            }
        } else if (waiting) {
            run->status = WITHDRAWN;
        }
        if (*design->error && !run->rise) run->rise = cycle;
        if (run->handshakes && cycle <= run->room) {
            uint8_t *row = run->handshakes + (cycle - 1) * (inputs + 1);
            for (size_t n = 0; n <= inputs; n++)
                row[n] = *design->ports[n].valid | *design->ports[n].ready << 1;
        }
        *design->clock = 1;
        design->eval();
        if (run->status != FINISHED) break;
    }
    run->cycles = cycle;
    run->error = *design->error;
}
