using System.Collections.Concurrent;
using System.Security.Cryptography;
using Marmot.Hosting.Cluster;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Claims;

/// <summary>The claim store of several replicas: this process's own cache first, then the ledger they share.</summary>
/// <remarks>
/// While the ledger cannot be asked each replica decides alone, after a short wait: a hint twice is a nuisance, a hint never is a failure.
/// So the bound is one push a replica, and only for triggers that came while the ledger was away or just before it forgot. Thread-safe.
/// </remarks>
internal sealed class SharedClaims(ReplayCache own, IClaimLedger ledger, TimeSpan window, NotifyMetrics metrics, TimeProvider time) : IClaimStore
{
    /// <summary>How long a claim lasts whose owner has died; between a claim and its end lie milliseconds.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);
    private readonly ConcurrentDictionary<Bytes32, Bytes32> _owners = new();
    private readonly Bytes32 _probe = new(RandomNumberGenerator.GetBytes(Bytes32.Size));
    private long _askedAt;
    private long _awaySince; // ticks of the first failure in a row; 0 while the ledger answers

    /// <summary>True while replicas decide alone.</summary>
    public bool IsAlone => Volatile.Read(ref _awaySince) != 0;

    public int Count => own.Count;

    public async ValueTask<ClaimOutcome> ClaimAsync(Bytes32 content, CancellationToken cancellationToken)
    {
        // 1. Here, where repeats of the same content wait for each other.
        var outcome = await own.ClaimAsync(content, cancellationToken);
        if (outcome != ClaimOutcome.Owned)
        {
            return outcome;
        }

        // 2. Among the replicas.
        try
        {
            outcome = await AskAsync(content, cancellationToken);
        }
        catch
        {
            own.Release(content);
            throw;
        }

        if (outcome == ClaimOutcome.Duplicate)
        {
            own.Complete(content);
        }

        return outcome;
    }

    public void Complete(in Bytes32 content)
    {
        own.Complete(content);
        if (_owners.TryRemove(content, out var owner))
        {
            _ = TellAsync(content, owner, done: true);
        }
    }

    public void Release(in Bytes32 content)
    {
        own.Release(content);
        if (_owners.TryRemove(content, out var owner))
        {
            _ = TellAsync(content, owner, done: false);
        }
    }

    // The same owner in every try: if an answer was lost, the next one says what became of it.
    private async ValueTask<ClaimOutcome> AskAsync(Bytes32 content, CancellationToken cancellationToken)
    {
        var owner = new Bytes32(RandomNumberGenerator.GetBytes(Bytes32.Size));
        while (true)
        {
            if (IsKnownAway())
            {
                metrics.ClaimedAlone();
                return ClaimOutcome.Owned;
            }

            try
            {
                var answer = await ledger.ClaimAsync(content, owner, Lease, cancellationToken);
                Answered();
                switch (answer)
                {
                    case ClaimAnswer.Owned:
                        _owners[content] = owner;
                        return ClaimOutcome.Owned;
                    case ClaimAnswer.Done:
                        return ClaimOutcome.Duplicate;
                }
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // Away, or it answers nonsense: both are a ledger that cannot be asked.
                if (Failed() >= Patience)
                {
                    metrics.ClaimedAlone();
                    return ClaimOutcome.Owned;
                }
            }

            // Held by another, who is done in a moment or has died; or the ledger is away, perhaps for a moment only.
            await Task.Delay(Pause, time, cancellationToken);
        }
    }

    /// <summary>Asks the ledger now, by a claim of its own that is given back: a server that takes no writes cannot be asked. What it says shows in
    /// <see cref="IsAlone"/>.</summary>
    public async Task ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await ledger.ClaimAsync(_probe, _probe, Lease, cancellationToken).AsTask().WaitAsync(Patience, time, cancellationToken);
            await ledger.ReleaseAsync(_probe, _probe, cancellationToken).AsTask().WaitAsync(Patience, time, cancellationToken);
            Answered();
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            Failed();
        }
    }

    /// <summary>The ledger answered whoever asked.</summary>
    internal void Answered() => Volatile.Write(ref _awaySince, 0);

    /// <summary>The ledger could not be asked; for how long now.</summary>
    internal TimeSpan Failed()
    {
        var now = time.GetTimestamp();
        Interlocked.CompareExchange(ref _awaySince, now, 0);
        return time.GetElapsedTime(Volatile.Read(ref _awaySince), now);
    }

    /// <summary>True while it is not worth asking: a ledger that has been away for long is asked by one trigger a second, so that a server which does not even
    /// answer holds up no others.</summary>
    internal bool IsKnownAway()
    {
        var since = Volatile.Read(ref _awaySince);
        if (since == 0 || ledger.IsConnected)
        {
            return false;
        }

        var now = time.GetTimestamp();
        var last = Volatile.Read(ref _askedAt);
        return time.GetElapsedTime(since, now) >= Patience
            && (time.GetElapsedTime(last, now) < AskAgain || Interlocked.CompareExchange(ref _askedAt, now, last) != last);
    }

    // Until the lease is over the ledger may still learn it.
    private async Task TellAsync(Bytes32 content, Bytes32 owner, bool done)
    {
        var started = time.GetTimestamp();
        while (time.GetElapsedTime(started) < Lease)
        {
            try
            {
                await (done
                    ? ledger.CompleteAsync(content, owner, window, CancellationToken.None)
                    : ledger.ReleaseAsync(content, owner, CancellationToken.None));
                return;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                await Task.Delay(Pause * 4, time);
            }
        }
    }
}
