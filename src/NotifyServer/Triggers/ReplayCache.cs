using Marmot.Hosting;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Triggers;

/// <summary>The claim store of a single process: remembers done triggers for the replay window and those under way for as long as they are.</summary>
/// <remarks>Thread-safe, one lock, held for a few instructions. Bounded: the oldest done entry makes room; entries under way never do.</remarks>
internal sealed class ReplayCache(int capacity, TimeSpan window, TimeProvider time) : IClaimStore
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Bytes32, Entry> _entries = [];
    private readonly Queue<(Bytes32 Content, TimeSpan Until)> _done = new();

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Done entries that left before their time for lack of room.</summary>
    public long Evicted { get; private set; }

    public async ValueTask<ClaimOutcome> ClaimAsync(Bytes32 content, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task under;
            lock (_gate)
            {
                Expire();
                if (!_entries.TryGetValue(content, out var entry))
                {
                    if (_entries.Count >= capacity && !TryMakeRoom())
                    {
                        return ClaimOutcome.Full;
                    }

                    _entries.Add(content, new Entry(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
                    return ClaimOutcome.Owned;
                }

                if (entry.UnderWay is null)
                {
                    return ClaimOutcome.Duplicate;
                }

                under = entry.UnderWay.Task;
            }

            await under.WaitAsync(cancellationToken);
        }
    }

    public void Complete(in Bytes32 content) => End(content, done: true);

    public void Release(in Bytes32 content) => End(content, done: false);

    private void End(in Bytes32 content, bool done)
    {
        TaskCompletionSource? waiters = null;
        lock (_gate)
        {
            if (_entries.Remove(content, out var entry))
            {
                waiters = entry.UnderWay;
                if (done)
                {
                    _entries.Add(content, default);
                    _done.Enqueue((content, time.GetUptime() + window));
                }
            }
        }

        waiters?.TrySetResult();
    }

    private void Expire()
    {
        var now = time.GetUptime();
        while (_done.TryPeek(out var oldest) && oldest.Until <= now)
        {
            _entries.Remove(_done.Dequeue().Content);
        }
    }

    private bool TryMakeRoom()
    {
        if (!_done.TryDequeue(out var oldest))
        {
            return false;
        }

        Evicted++;
        return _entries.Remove(oldest.Content);
    }

    /// <param name="UnderWay">Completes when the owner ends; null once the trigger is done.</param>
    private readonly record struct Entry(TaskCompletionSource? UnderWay);
}
