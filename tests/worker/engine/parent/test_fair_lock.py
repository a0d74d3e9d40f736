from concurrent.futures import ThreadPoolExecutor
from threading import Event

from trackfarm_worker.engine.parent.fair_lock import FairLock


def never() -> bool:
    return False


def test_a_turn_is_passed_on_before_its_holder_is_done() -> None:
    turns, let_go, got = FairLock(), Event(), Event()

    def first() -> bool:
        with turns.ticket(never) as ticket:
            assert ticket.wait()
            got.set()
            assert let_go.wait(20)
            ticket.pass_on()
            return ticket.wait()  # at the end of the queue again

    def second() -> None:
        with turns.ticket(never) as ticket:
            assert ticket.wait()

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(first)
        assert got.wait(20)
        waiting = pool.submit(second)
        assert not waiting.done()
        let_go.set()
        waiting.result(20)
        assert holder.result(20)


def test_who_gives_up_leaves_the_line() -> None:
    turns, gives_up = FairLock(), Event()
    with turns.ticket(never) as holder, ThreadPoolExecutor(1) as pool:
        assert holder.wait()
        assert holder.wait()

        def other() -> bool:
            with turns.ticket(gives_up.is_set) as ticket:
                return ticket.wait()

        waiting = pool.submit(other)
        gives_up.set()
        turns.poke()
        assert not waiting.result()
    with turns.ticket(never) as after:
        assert after.wait()
