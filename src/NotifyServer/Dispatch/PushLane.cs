using System.Threading.Channels;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Dispatch;

/// <summary>The way of one app to one provider: its own bounded queue, concurrency and circuit, so that no other lane feels its trouble.</summary>
/// <remarks>Owns every job from <see cref="Enqueue"/> to its end, and wipes it then. A push that waits for its next try holds no permit.
/// Each admitted job ends once: accepted, dead, foreign, refused, uncertain, expired or abandoned.</remarks>
internal sealed class PushLane : IAsyncDisposable
{
    private const string Circuited = "circuit";

    private readonly Channel<PushJob> _ready = Channel.CreateUnbounded<PushJob>(); // bounded by the reservation
    private readonly SemaphoreSlim _permits;
    private readonly CancellationTokenSource _stop = new();
    private CancellationTokenSource _renewed = new(); // cancelled, and another put in its place, when the provider is
    private readonly NotifyMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _loop;
    private ProviderLease _lease;
    private volatile int _capacity;
    private int _concurrency;
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
        _permits = new SemaphoreSlim(concurrency);
        Circuit = new CircuitBreaker(time);
        _loop = Task.Run(RunAsync);
    }

    public string App { get; }

    public IPushProvider Provider => Volatile.Read(ref _lease).Provider;

    public CircuitBreaker Circuit { get; }

    /// <summary>Jobs queued, under way or waiting for another try.</summary>
    public int Pending => Volatile.Read(ref _pending);

    public int Capacity => _capacity;

    /// <summary>Jobs given up by a stop.</summary>
    public int Abandoned => Volatile.Read(ref _abandoned);

    /// <summary>Sends through another provider from now on; requests under way end on the old one. The circuit starts anew, since the credentials did.</summary>
    public void Replace(IPushProvider provider)
    {
        var old = Interlocked.Exchange(ref _lease, new ProviderLease(provider));
        old.Exit();
        Circuit.Reset();
        using var before = Interlocked.Exchange(ref _renewed, new CancellationTokenSource());
        before.Cancel(); // what waited for a good credential goes now
    }

    /// <summary>Other limits; what is admitted stays admitted.</summary>
    public void SetLimits(int capacity, int concurrency)
    {
        _capacity = capacity;
        var more = concurrency - Interlocked.Exchange(ref _concurrency, concurrency);
        if (more > 0)
        {
            _permits.Release(more);
        }

        for (; more < 0; more++)
        {
            _ = AbsorbAsync();
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

    /// <summary>Puts a job on a reserved place; the lane owns it from here.</summary>
    public void Enqueue(PushJob job)
    {
        _metrics.Admitted(App, Provider.Name);
        if (!_ready.Writer.TryWrite(job))
        {
            Finish(job, "abandoned", "stopped");
        }
    }

    /// <summary>Refuses new jobs and waits until those admitted have ended; what is left at the deadline is counted as abandoned.</summary>
    public async Task DrainAsync(CancellationToken deadline)
    {
        _draining = true;
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
        _ready.Writer.TryComplete();
        await _loop;
        while (_ready.Reader.TryRead(out var job))
        {
            Finish(job, "abandoned", "stopped");
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
        _renewed.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                await _permits.WaitAsync(_stop.Token);
                var job = await _ready.Reader.ReadAsync(_stop.Token);
                _ = SendAsync(job);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            // Stopped.
        }
    }

    private async Task AbsorbAsync()
    {
        try
        {
            await _permits.WaitAsync(_stop.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Stopped.
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
            var now = _time.GetUtcNow();
            if (now >= job.Deadline)
            {
                Finish(job, "expired", job.Attempts == 0 ? "queued" : "retried");
                return;
            }

            if (!Circuit.TryPass(out var wait))
            {
                verdict = new PushVerdict(PushOutcome.Transient, Circuited, wait);
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
            Finish(job, "abandoned", "stopped");
            return;
        }
        catch (Exception e)
        {
            // A bug in a provider must not lose the count nor the buffer.
            Circuit.Abandoned();
            _metrics.Fault(e);
            Finish(job, "refused", "fault");
            return;
        }
        finally
        {
            _permits.Release();
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
            case PushOutcome.Reconnect or PushOutcome.Configuration:
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
                _metrics.ArrivalToAccept(App, Provider.Name, _time.GetUtcNow() - job.Arrived);
                Finish(job, "accepted", verdict.Reason);
                break;
            case PushOutcome.TokenDead:
                Finish(job, "dead", verdict.Reason);
                break;
            case PushOutcome.TokenForeign:
                Finish(job, "foreign", verdict.Reason);
                break;
            case PushOutcome.Configuration:
                Finish(job, "refused", verdict.Reason);
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
            Finish(job, "uncertain", verdict.Reason);
            return;
        }

        var pause = RetryPause.For(verdict, Math.Max(1, job.Attempts), Random.Shared.NextDouble());
        if (_time.GetUtcNow() + pause >= job.Deadline)
        {
            Finish(job, "expired", verdict.Reason);
            return;
        }

        _metrics.Retried(App, Provider.Name);
        _ = EnqueueLaterAsync(job, pause, waitsForCredential: verdict.Outcome == PushOutcome.Credential || verdict.Reason == Circuited);
    }

    private async Task EnqueueLaterAsync(PushJob job, TimeSpan pause, bool waitsForCredential)
    {
        try
        {
            if (pause > TimeSpan.Zero)
            {
                var renewed = waitsForCredential ? Volatile.Read(ref _renewed).Token : CancellationToken.None;
                using var either = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, renewed);
                await Task.Delay(pause, _time, either.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Stopped, or the credential has been renewed.
        }

        if (_stop.IsCancellationRequested)
        {
            Finish(job, "abandoned", "stopped");
            return;
        }

        if (!_ready.Writer.TryWrite(job))
        {
            Finish(job, "abandoned", "stopped");
        }
    }

    private void Finish(PushJob job, string end, string reason)
    {
        job.Dispose();
        if (end == "abandoned")
        {
            Interlocked.Increment(ref _abandoned);
        }

        _metrics.Ended(App, Provider.Name, end, reason);
        Release(1);
    }
}
