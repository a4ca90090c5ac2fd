using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Relay.Replies;

/// <summary>A request that needs authentication and waits for it (NIP-42).</summary>
/// <param name="Kind">EVENT, REQ, COUNT or NEG-OPEN.</param>
/// <param name="Id">The subscription's or reconciliation's id; empty for an EVENT, which only an answer or the time limit ends.</param>
/// <param name="Bytes">What it holds in memory while it waits.</param>
/// <param name="Check">Asks again whether the keys proved so far suffice; the default value when they do.</param>
/// <param name="Serve">Carries it out.</param>
/// <param name="Refuse">Answers it with the reason why not.</param>
internal sealed record WaitingRequest(
    ClientMessageKind Kind,
    string Id,
    int Bytes,
    Func<RejectReason> Check,
    Func<CancellationToken, ValueTask> Serve,
    Action<RejectReason> Refuse)
{
    /// <summary>When it began to wait, as a timestamp of the clock.</summary>
    public long Since { get; set; }
}

/// <summary>Bytes of requests that wait for authentication, and of the live events kept for them, over all connections.</summary>
internal sealed class AuthWaitMemory
{
    /// <summary>Beyond this a request is refused at once instead of waiting.</summary>
    public const long MaxBytes = 64L << 20;

    private long _bytes;

    /// <summary>Bytes that wait now.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Counts bytes unless they are too many.</summary>
    public bool TryAdd(int bytes)
    {
        if (Interlocked.Add(ref _bytes, bytes) <= MaxBytes)
        {
            return true;
        }

        Interlocked.Add(ref _bytes, -bytes);
        return false;
    }

    /// <summary>Takes bytes off the count.</summary>
    public void Remove(long bytes) => Interlocked.Add(ref _bytes, -bytes);
}

/// <summary>What waiting for authentication has in common on all connections.</summary>
/// <param name="Memory">The count over all connections.</param>
/// <param name="MaxBytes">Bytes that may wait on one.</param>
/// <param name="Wait">How long each request waits.</param>
/// <param name="Clock">The clock.</param>
internal sealed record AuthWaiting(AuthWaitMemory Memory, int MaxBytes, TimeSpan Wait, TimeProvider Clock);

/// <summary>The requests of one connection that wait for its authentication, in the order of their arrival. Its read loop's own.</summary>
/// <param name="waiting">What all connections have in common.</param>
/// <param name="wake">Makes the read loop call <see cref="TakeExpired"/>; called from a thread of the timer.</param>
internal sealed class AuthWaits(AuthWaiting waiting, Action wake) : IDisposable
{
    /// <summary>Requests that may wait on one connection: an inbox, its count, its reconciliation and a few events, several times over.</summary>
    public const int MaxRequests = 32;

    private const int FilterBytes = 512;
    private const int ValueBytes = 128;
    private readonly List<WaitingRequest> _requests = [];
    private ITimer? _timer;
    private long _bytes;

    /// <summary>About what the filters of a waiting request take in memory, bytes.</summary>
    public static int BytesOf(Filter[] filters)
    {
        var bytes = 0;
        foreach (var filter in filters)
        {
            bytes += FilterBytes + (ValueBytes * ((filter.Ids?.Length ?? 0) + (filter.Authors?.Length ?? 0) + filter.Tags.Sum(tag => tag.Value.Length)));
        }

        return bytes;
    }

    /// <summary>How many wait.</summary>
    public int Count => _requests.Count;

    /// <summary>Adds a request; false when too many wait already, or they hold too much.</summary>
    public bool TryAdd(WaitingRequest request)
    {
        if (_requests.Count >= MaxRequests || _bytes + request.Bytes > waiting.MaxBytes || !waiting.Memory.TryAdd(request.Bytes))
        {
            return false;
        }

        request.Since = waiting.Clock.GetTimestamp();
        _bytes += request.Bytes;
        _requests.Add(request);
        if (_requests.Count == 1)
        {
            SetTimer(waiting.Wait);
        }

        return true;
    }

    /// <summary>Ends the waiting of a request without an answer; an unknown id is nothing.</summary>
    public void Remove(ClientMessageKind kind, string id)
    {
        var index = _requests.FindIndex(request => request.Kind == kind && request.Id == id);
        if (index >= 0)
        {
            Take(index);
        }
    }

    /// <summary>Takes those that may be served now.</summary>
    public List<WaitingRequest> TakeServable() => TakeWhere(static (request, _) => request.Check().IsNone);

    /// <summary>Takes those whose time is over.</summary>
    public List<WaitingRequest> TakeExpired()
    {
        var expired = TakeWhere((request, now) => waiting.Clock.GetElapsedTime(request.Since, now) >= waiting.Wait);
        if (_requests.Count > 0)
        {
            SetTimer(waiting.Wait - waiting.Clock.GetElapsedTime(_requests[0].Since));
        }

        return expired;
    }

    /// <summary>Takes all.</summary>
    public List<WaitingRequest> TakeAll() => TakeWhere(static (_, _) => true);

    /// <summary>Forgets all, without an answer.</summary>
    public void Dispose()
    {
        TakeAll();
        _timer?.Dispose();
    }

    private List<WaitingRequest> TakeWhere(Func<WaitingRequest, long, bool> condition)
    {
        var taken = new List<WaitingRequest>();
        var now = waiting.Clock.GetTimestamp();
        for (var i = 0; i < _requests.Count;)
        {
            if (condition(_requests[i], now))
            {
                taken.Add(Take(i));
            }
            else
            {
                i++;
            }
        }

        return taken;
    }

    private WaitingRequest Take(int index)
    {
        var request = _requests[index];
        _requests.RemoveAt(index);
        _bytes -= request.Bytes;
        waiting.Memory.Remove(request.Bytes);
        return request;
    }

    // A timer's resolution is about a millisecond: one more, so that what is due counts as due.
    private void SetTimer(TimeSpan due)
    {
        due = due > TimeSpan.Zero ? due + TimeSpan.FromMilliseconds(1) : TimeSpan.FromMilliseconds(1);
        if (_timer is null)
        {
            _timer = waiting.Clock.CreateTimer(static state => ((Action)state!)(), wake, due, Timeout.InfiniteTimeSpan);
        }
        else
        {
            _timer.Change(due, Timeout.InfiniteTimeSpan);
        }
    }
}
