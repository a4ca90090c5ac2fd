using Marmot.Client.Accounts;

namespace Marmot.Client.Groups;

/// <summary>
/// The dates of one group: what own events are dated, so that peers put them in the order they were made, and from when on a relay is asked. Both are kept in
/// the group's record. A date that lies far ahead of the clock was made by a wrong clock and does not count. One caller at a time, as its session.
/// </summary>
internal sealed class EventDates(GroupRecord record, TimeProvider time)
{
    /// <summary>Own messages that may share one second. Peers order a second by event id, that is by chance, and keep 100 skipped keys.</summary>
    private const int MaxMessagesASecond = 64;

    /// <summary>Own messages run this many seconds ahead of the clock at most; then sending waits.</summary>
    internal const int MaxSecondsAhead = 240;

    /// <summary>A date this many seconds ahead of the clock comes from a wrong clock: it is not waited for, nor kept up with.</summary>
    private const int MaxReasonSeconds = MaxSecondsAhead + 60;

    /// <summary>Clients' clocks may be wrong and events may wait in an outbox: relays are asked for this many seconds more than what was read.</summary>
    private const int OverlapSeconds = 3600;

    /// <summary>Seconds by which the next own message would be dated ahead of the clock: the price of many messages at once.</summary>
    public long SecondsAhead
    {
        get
        {
            long now = Now; // once: between two readings the clock may be set by hours
            return Math.Max(0, FindNext(isMessage: true, now).CreatedAt - now);
        }
    }

    /// <summary>Steps of the clock when all relays were last read to the end: <see cref="ClockWatch"/>.</summary>
    public int ClockStepsAtLook { get; set; }

    private long Now => time.GetUtcNow().ToUnixTimeSeconds();

    /// <summary>created_at of the next own event; the caller stores the record before the event leaves.</summary>
    public long TakeNext(bool isMessage) => ((record.LastCreatedAt, record.SharingLast) = FindNext(isMessage, Now)).Item1;

    /// <summary>Remembers that a relay gave everything it had when our clock showed this.</summary>
    public void MarkCaughtUp(string relay, long startedAt)
    {
        long known = record.CaughtUp.GetValueOrDefault(relay);
        if (known < startedAt || InReason(known, Now) == 0)
        {
            record.CaughtUp[relay] = startedAt;
        }
    }

    /// <summary>From when on a relay is asked. A mark of a clock that was set meanwhile is not used.</summary>
    public long Since(string relay, int clockSteps)
    {
        long now = Now;
        long joined = InReason(record.JoinedAt, now);
        long at = clockSteps > 0 ? 0 : joined;
        if (clockSteps == ClockStepsAtLook && record.CaughtUp.TryGetValue(relay, out long caughtUp) && InReason(caughtUp, now) > 0)
        {
            at = Math.Max(caughtUp, joined);
        }

        return Math.Max(0, at - OverlapSeconds);
    }

    /// <summary>The date itself, or 0 when only a wrong clock can have made it.</summary>
    public static long InReason(long createdAt, long now) => createdAt > now + MaxReasonSeconds ? 0 : createdAt;

    // Own commits and proposals strictly later than anything before them; messages may share a second. All of them later than what began the epoch,
    // commits also than the proposals they cover.
    private (long CreatedAt, int Sharing) FindNext(bool isMessage, long now)
    {
        long last = InReason(record.LastCreatedAt, now);
        long earliest = Math.Max(Math.Max(now, InReason(record.EpochBeganAt, now) + 1), isMessage ? 0 : InReason(record.ProposalsAt, now) + 1);
        return earliest > last ? (earliest, 1)
            : isMessage && record.SharingLast < MaxMessagesASecond ? (last, record.SharingLast + 1)
            : (last + 1, 1);
    }
}
