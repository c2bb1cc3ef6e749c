// Cycles of a Verilated design: sends beats, takes beats, watches the rules of the streams.
//
// Inputs change while the clock is low and everything is sampled before it rises, so that a cycle
// takes two evaluations.

#include "driver.h"

#include <algorithm>
#include <cstring>
#include <deque>

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

uint64_t random_of(uint64_t &state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 16;
}

// The two streams of a memory port: before a cycle's evaluation, and behind it.
class MemoryPort {
public:
    MemoryPort(Design *design, Memory *memory)
        : memory(memory), request(design->ports[memory->request]),
          response(design->ports[memory->response]), state(uint64_t(memory->seed) * 2 + 1),
          beat(response.words) {
        memory->requests = memory->words = memory->asked = 0;
    }

    void offer(int64_t cycle) {
        *request.ready = int64_t(random_of(state) % 1000) >= memory->refuse;
        if (offering) return;
        if (!waiting.empty() && waiting.front().due <= cycle
            && int64_t(random_of(state) % 1000) >= memory->gap) {
            const Burst &burst = waiting.front();
            const int64_t word = std::min(burst.sent, burst.asked - 1);
            memcpy(beat.data(), memory->content + burst.address + word * memory->bytes,
                   memory->bytes);
            beat[memory->bytes / 4] = burst.sent == burst.words - 1;
            send(response, beat.data());
            offering = *response.valid = 1;
        } else if (*response.valid) {
            *response.valid = 0;
            scribble(response, state);
        }
    }

    // Whether all rules of the port are kept; whether anything moved goes to `moved`.
    bool move(int64_t cycle, bool &moved) {
        if (offering && *response.ready) {
            if (memory->taken && memory->words < memory->room)
                memory->taken[memory->words] = cycle;
            memory->words++;
            if (++waiting.front().sent == waiting.front().words) waiting.pop_front();
            offering = false;
            moved = true;
        }
        if (*request.valid && *request.ready) {
            std::vector<uint32_t> words(request.words);
            take(request, words.data());
            const int64_t address = words[0], count = words[1], end = address + count * memory->bytes;
            if (!count || count > memory->burst || address % memory->bytes || end > memory->size
                || address / 4096 != (end - 1) / 4096)
                return false;
            const int64_t spread = memory->most - memory->least + 1;
            int64_t given = count;
            if (memory->requests++ == memory->broken) {
                memory->asked = count;
                given = std::max<int64_t>(count + memory->extra, 1);
            }
            waiting.push_back({cycle + memory->least + int64_t(random_of(state) % spread), address,
                               count, given, 0});
            moved = true;
        }
        return true;
    }

private:
    struct Burst {
        int64_t due, address, asked, words, sent;
    };

    Memory *memory;
    const Port &request, &response;
    uint64_t state;
    std::vector<uint32_t> beat;
    std::deque<Burst> waiting;
    bool offering = false;
};

bool next(const Traffic &traffic, int64_t &place) {
    const bool bit = traffic.pattern[place];
    if (++place == traffic.period) place = 0;
    return bit;
}

}  // namespace

extern "C" void driver_control(Design *design, int64_t number, uint64_t value) {
    memcpy(design->controls[number].value, &value, design->controls[number].bytes);
}

extern "C" uint64_t driver_flag(Design *design, int64_t number) {
    uint64_t value = 0;
    memcpy(&value, design->flags[number].value, design->flags[number].bytes);
    return value;
}

extern "C" void driver_reset(Design *design, int64_t cycles) {
    *design->reset = design->active;
    for (Port &port : design->ports) *(port.out ? port.ready : port.valid) = 0;
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
    for (size_t n = 0; n < inputs; n++)
        if (!design->ports[n].out) scribble(design->ports[n], state);
    MemoryPort *memory = run->memory ? new MemoryPort(design, run->memory) : nullptr;

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
            if (memory && (int64_t(n) == run->memory->response)) continue;
            if (port.out) *port.ready = 1;
            if (offering[n] || port.out) continue;
            if (traffic.done < traffic.count && next(traffic, place[n])) {
                send(port, traffic.beats + traffic.done * port.words);
                traffic.offered[traffic.done] = cycle;
                offering[n] = *port.valid = 1;
            } else if (*port.valid) {
                *port.valid = 0;
                scribble(port, state);
            }
        }
        if (memory) memory->offer(cycle);
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
        if (memory) {
            bool moved = false;
            if (!memory->move(cycle, moved)) run->status = REQUEST;
            if (moved) idle = 0;
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
    delete memory;
    run->cycles = cycle;
    run->error = *design->error;
}
