from concurrent.futures import ThreadPoolExecutor
from threading import Event

from trackfarm_worker.engine.parent.fair_lock import FairLock


def never() -> bool:
    return False


def test_ticket_can_be_released_before_the_end_of_its_context() -> None:
    lock, may_release, holds = FairLock(), Event(), Event()

    def first() -> bool:
        with lock.ticket(never) as ticket:
            assert ticket.wait()
            holds.set()
            assert may_release.wait(20)
            ticket.release()
            return ticket.wait()  # at the end of the queue again

    def second() -> None:
        with lock.ticket(never) as ticket:
            assert ticket.wait()

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(first)
        assert holds.wait(20)
        waiting = pool.submit(second)
        assert not waiting.done()
        may_release.set()
        waiting.result(20)
        assert holder.result(20)


def test_ticket_that_gives_up_leaves_the_queue() -> None:
    lock, has_given_up = FairLock(), Event()
    with lock.ticket(never) as holder, ThreadPoolExecutor(1) as pool:
        assert holder.wait()
        assert holder.wait()

        def other() -> bool:
            with lock.ticket(has_given_up.is_set) as ticket:
                return ticket.wait()

        waiting = pool.submit(other)
        has_given_up.set()
        lock.recheck()
        assert not waiting.result()
    with lock.ticket(never) as after:
        assert after.wait()
