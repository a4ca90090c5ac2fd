using Marmot.Client.Accounts;

namespace Marmot.Client.Groups;

internal sealed partial class GroupSession
{
    /// <summary>Steps of the clock when all relays were last read to the end: <see cref="ClockWatch"/>.</summary>
    public int ClockStepsAtLook { get; set; }

    /// <summary>Remembers that a relay gave everything it had when our clock showed this.</summary>
    public void MarkCaughtUp(string relay, long startedAt)
    {
        long known = _record.CaughtUp.GetValueOrDefault(relay);
        if (known < startedAt || InReason(known, Now) == 0)
        {
            _record.CaughtUp[relay] = startedAt;
        }
    }

    /// <summary>From when on a relay is asked; it must reach behind clocks that go wrong and events that waited in an outbox. A mark of a clock that was set says nothing.</summary>
    public long Since(string relay, int clockSteps)
    {
        long now = Now;
        long joined = InReason(_record.JoinedAt, now);
        long at = clockSteps == ClockStepsAtLook && _record.CaughtUp.TryGetValue(relay, out long caughtUp) && InReason(caughtUp, now) > 0 ? Math.Max(caughtUp, joined) : clockSteps > 0 ? 0 : joined;
        return Math.Max(0, at - 3600);
    }

    private long NextCreatedAt(bool isMessage) => ((_record.LastCreatedAt, _record.SharingLast) = NextDate(isMessage)).Item1;

    // Own commits and proposals strictly later than anything before them; messages may share a second. All of them later than what began the epoch, commits also than the proposals they cover.
    private (long CreatedAt, int Sharing) NextDate(bool isMessage)
    {
        long now = Now;
        long last = InReason(_record.LastCreatedAt, now);
        long earliest = Math.Max(Math.Max(now, InReason(_record.EpochBeganAt, now) + 1), isMessage ? 0 : InReason(_record.ProposalsAt, now) + 1);
        return earliest > last ? (earliest, 1)
            : isMessage && _record.SharingLast < MaxMessagesASecond ? (last, _record.SharingLast + 1)
            : (last + 1, 1);
    }

    // What a wrong clock dated far ahead comes down when the clock is right again.
    private static long InReason(long createdAt, long now) => createdAt > now + MaxReasonSeconds ? 0 : createdAt;
}
