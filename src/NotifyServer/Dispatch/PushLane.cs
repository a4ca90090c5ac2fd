using System.Diagnostics.CodeAnalysis;
using Marmot.Hosting;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Dispatch;

/// <summary>The way of one app to one provider: its own bounded queue, concurrency and circuit, so that no other lane feels its trouble.</summary>
/// <remarks>Owns every job from <see cref="Enqueue"/> to its end, and wipes it then. A push that waits for its next try holds no permit.
/// A request begins on the thread that enqueues while there is a permit: a hop to another thread would cost more than decrypting the token did.
/// Each admitted job ends once: accepted, dead, foreign, refused, uncertain, expired, abandoned, or coalesced with another replica's push.</remarks>
internal sealed class PushLane : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Queue<PushJob> _ready = new(); // what found no permit; bounded by the reservation
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _hurry = new(); // cancelled when the lane drains: what is held goes then
    private CancellationTokenSource _renewed = new(); // cancelled, and another put in its place, when the provider is
    private readonly NotifyMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ProviderLease _lease;
    private volatile int _capacity;
    private int _concurrency;
    private int _running; // permits in use
    private bool _ended;
    private int _pending;
    private int _abandoned;
    private volatile bool _draining;

    public PushLane(string app, IPushProvider provider, int capacity, int concurrency, NotifyMetrics metrics, TimeProvider time)
    {
        App = app;
        _lease = new ProviderLease(provider);
        _capacity = capacity;
        _concurrency = concurrency;
        _metrics = metrics;
        _time = time;
        Circuit = new CircuitBreaker(time);
    }

    public string App { get; }

    public IPushProvider Provider => Volatile.Read(ref _lease).Provider;

    public CircuitBreaker Circuit { get; }

    /// <summary>Jobs queued, under way or waiting for another try.</summary>
    public int Pending => Volatile.Read(ref _pending);

    public int Capacity => _capacity;

    /// <summary>Jobs given up by a stop.</summary>
    public int Abandoned => Volatile.Read(ref _abandoned);

    /// <summary>Sends through another provider from now on; requests under way end on the old one. The circuit starts anew, since the credentials
    /// did.</summary>
    public void Replace(IPushProvider provider)
    {
        var old = Interlocked.Exchange(ref _lease, new ProviderLease(provider));
        old.Exit();
        Circuit.Reset();
        Interlocked.Exchange(ref _renewed, new CancellationTokenSource()).Cancel(); // what waited for a good credential goes now
    }

    /// <summary>Other limits; what is admitted stays admitted.</summary>
    public void SetLimits(int capacity, int concurrency)
    {
        _capacity = capacity;
        lock (_gate)
        {
            _concurrency = concurrency;
        }

        while (TryTakePermit(out var job))
        {
            _ = SendAllAsync(job);
        }
    }

    /// <summary>Takes places for a whole trigger or none.</summary>
    public bool TryReserve(int count)
    {
        if (_draining)
        {
            return false;
        }

        if (Interlocked.Add(ref _pending, count) <= _capacity)
        {
            return true;
        }

        Release(count);
        return false;
    }

    /// <summary>Gives places back that no job took.</summary>
    public void Release(int count)
    {
        if (Interlocked.Add(ref _pending, -count) == 0 && _draining)
        {
            _empty.TrySetResult();
        }
    }

    /// <summary>Puts a trigger's jobs on their reserved places; the lane owns them from here.</summary>
    public void Enqueue(IReadOnlyList<PushJob> jobs)
    {
        if (jobs.Count == 0)
        {
            return;
        }

        _metrics.Admitted(App, Provider.Name, jobs.Count);
        foreach (var job in jobs)
        {
            if (job.Held > TimeSpan.Zero)
            {
                _metrics.Held(App, Provider.Name);
                _ = StartLaterAsync(job, job.Held, _hurry.Token);
            }
            else
            {
                Start(job);
            }
        }
    }

    /// <summary>Refuses new jobs and waits until those admitted have ended; what is left at the deadline is counted as abandoned.</summary>
    public async Task DrainAsync(CancellationToken deadline)
    {
        _draining = true;
        if (!_hurry.IsCancellationRequested)
        {
            await _hurry.CancelAsync();
        }

        if (Pending == 0)
        {
            _empty.TrySetResult();
        }

        try
        {
            await _empty.Task.WaitAsync(deadline);
        }
        catch (OperationCanceledException)
        {
            // The rest is abandoned below.
        }

        if (_stop.IsCancellationRequested)
        {
            return;
        }

        await _stop.CancelAsync();
        foreach (var job in End())
        {
            Finish(job, PushEnd.Abandoned, PushReason.Stopped);
        }

        await _empty.Task; // what was under way hears the stop too and counts itself
    }

    /// <summary>Lets what is admitted come to its end, however long hints live, then disposes.</summary>
    public async Task EndAsync()
    {
        await DrainAsync(CancellationToken.None);
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await DrainAsync(new CancellationToken(canceled: true));
        Volatile.Read(ref _lease).Exit();
        _stop.Dispose();
        _hurry.Dispose();
        _renewed.Dispose();
    }

    /// <summary>Sends at once if there is a permit, else when one is free.</summary>
    private void Start(PushJob job)
    {
        if (Queue(job, orTakePermit: true))
        {
            _ = SendAllAsync(job);
        }
    }

    // True when the caller got a permit and sends; else the job waits for one, or ends when the lane has.
    private bool Queue(PushJob job, bool orTakePermit)
    {
        lock (_gate)
        {
            if (!_ended && orTakePermit && _running < _concurrency)
            {
                _running++;
                return true;
            }

            if (!_ended)
            {
                _ready.Enqueue(job);
                return false;
            }
        }

        Finish(job, PushEnd.Abandoned, PushReason.Stopped);
        return false;
    }

    /// <summary>What one permit does: a push, then those that wait for a permit, until none does.</summary>
    private async Task SendAllAsync(PushJob job)
    {
        for (PushJob? next = job; next is not null; next = Next())
        {
            await SendAsync(next);
        }
    }

    // Gives the permit back when nothing waits, or when there are fewer permits now.
    private PushJob? Next()
    {
        lock (_gate)
        {
            if (_running <= _concurrency && _ready.TryDequeue(out var job))
            {
                return job;
            }

            _running--;
            return null;
        }
    }

    private bool TryTakePermit([NotNullWhen(true)] out PushJob? job)
    {
        lock (_gate)
        {
            job = null;
            if (_running >= _concurrency || !_ready.TryDequeue(out job))
            {
                return false;
            }

            _running++;
            return true;
        }
    }

    private PushJob[] End()
    {
        lock (_gate)
        {
            _ended = true;
            PushJob[] left = [.. _ready];
            _ready.Clear();
            return left;
        }
    }

    private ProviderLease Enter()
    {
        ProviderLease lease;
        do
        {
            lease = Volatile.Read(ref _lease);
        }
        while (!lease.TryEnter());
        return lease;
    }

    private async Task SendAsync(PushJob job)
    {
        PushVerdict verdict = default;
        try
        {
            var now = _time.GetUptime();
            if (now >= job.Deadline)
            {
                Finish(job, PushEnd.Expired, job.Attempts == 0 ? PushReason.Queued : PushReason.Retried);
                return;
            }

            if (!Circuit.TryPass(out var wait))
            {
                verdict = new PushVerdict(PushOutcome.Transient, PushReason.Circuit, wait);
            }
            else
            {
                job.Attempts++;
                verdict = await RequestAsync(job);
            }
        }
        catch (OperationCanceledException)
        {
            Circuit.Abandoned();
            Finish(job, PushEnd.Abandoned, PushReason.Stopped);
            return;
        }
        catch (Exception e)
        {
            // A bug in a provider must not lose the count nor the buffer.
            Circuit.Abandoned();
            _metrics.Fault(e);
            Finish(job, PushEnd.Refused, PushReason.Fault);
            return;
        }

        Conclude(job, verdict);
    }

    private async ValueTask<PushVerdict> RequestAsync(PushJob job)
    {
        var lease = Enter();
        try
        {
            var started = _time.GetTimestamp();
            var verdict = await lease.Provider.SendAsync(job, _stop.Token);
            _metrics.Answered(App, lease.Provider.Name, verdict.Reason, _time.GetElapsedTime(started));
            if (lease == Volatile.Read(ref _lease))
            {
                TellCircuit(verdict); // what an old credential met says nothing about the new one
            }
            else
            {
                Circuit.Abandoned();
            }

            return verdict;
        }
        finally
        {
            lease.Exit();
        }
    }

    private void TellCircuit(PushVerdict verdict)
    {
        switch (verdict.Outcome)
        {
            case PushOutcome.Transient:
                Circuit.TransientFailure(verdict.Reason);
                break;
            case PushOutcome.Credential:
                Circuit.CredentialFailure(verdict.Reason, verdict.RetryAfter);
                break;
            case PushOutcome.Reconnect or PushOutcome.Configuration or PushOutcome.Unclear:
                Circuit.Abandoned();
                break;
            default:
                Circuit.Succeeded();
                break;
        }
    }

    private void Conclude(PushJob job, PushVerdict verdict)
    {
        switch (verdict.Outcome)
        {
            case PushOutcome.Accepted:
                _metrics.ArrivalToAccept(App, Provider.Name, _time.GetUptime() - job.Arrived);
                Finish(job, PushEnd.Accepted, verdict.Reason);
                break;
            case PushOutcome.TokenDead:
                Finish(job, PushEnd.Dead, verdict.Reason);
                break;
            case PushOutcome.TokenForeign:
                Finish(job, PushEnd.Foreign, verdict.Reason);
                break;
            case PushOutcome.Configuration or PushOutcome.Unclear:
                Finish(job, PushEnd.Refused, verdict.Reason);
                break;
            default:
                Repeat(job, verdict);
                break;
        }
    }

    private void Repeat(PushJob job, PushVerdict verdict)
    {
        if (verdict.IsUncertain && ++job.Uncertain > Provider.RepeatsAfterTimeout)
        {
            Finish(job, PushEnd.Uncertain, verdict.Reason);
            return;
        }

        var pause = RetryPause.For(verdict, Math.Max(1, job.Attempts), Random.Shared.NextDouble());
        if (_time.GetUptime() + pause >= job.Deadline)
        {
            Finish(job, PushEnd.Expired, verdict.Reason);
            return;
        }

        _metrics.Retried(App, Provider.Name);
        if (pause <= TimeSpan.Zero)
        {
            Queue(job, orTakePermit: false); // the one who sent it has a permit still, and looks here next
            return;
        }

        var waitsForCredential = verdict.Outcome == PushOutcome.Credential || verdict.Reason == PushReason.Circuit;
        _ = StartLaterAsync(job, pause, waitsForCredential ? Volatile.Read(ref _renewed).Token : CancellationToken.None);
    }

    /// <param name="job">Sent after the pause.</param>
    /// <param name="pause">How long at the most.</param>
    /// <param name="early">Ends the pause.</param>
    private async Task StartLaterAsync(PushJob job, TimeSpan pause, CancellationToken early)
    {
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, early);
            await Task.Delay(pause, _time, either.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Stopped, or what it waited for has come.
        }

        if (_stop.IsCancellationRequested)
        {
            Finish(job, PushEnd.Abandoned, PushReason.Stopped);
        }
        else if (job.Attempts == 0 && !_draining && await IsRungByAnotherAsync(job))
        {
            Finish(job, PushEnd.Coalesced, PushReason.Replica);
        }
        else
        {
            Start(job);
        }
    }

    private async ValueTask<bool> IsRungByAnotherAsync(PushJob job)
    {
        try
        {
            return job.ClaimAsync is { } claim && !await claim();
        }
        catch (Exception e)
        {
            // A bug there must not lose the count nor the buffer.
            _metrics.Fault(e);
            return false;
        }
    }

    private void Finish(PushJob job, PushEnd end, PushReason reason)
    {
        job.Dispose();
        if (end == PushEnd.Abandoned)
        {
            Interlocked.Increment(ref _abandoned);
        }

        _metrics.Ended(App, Provider.Name, end, reason);
        Release(1);
    }
}
