using System.Diagnostics;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Keys;

namespace Marmot.NotifyServer.Inbox;

/// <summary>How many elliptic-curve operations a second strangers may make us do. A trigger is charged whole, before its tokens: the budget may go into debt
/// by one trigger, and the next waits until it is paid; no trigger is ever cut in half.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class EcBudget
{
    // What a verification or an ECDH takes of one core, for the share that is left to everything else (JSON, HMAC, HTTP).
    private const double Share = 0.5;
    private const int MeasuredOperations = 200;

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private TokenBucket _bucket;

    public EcBudget(int operationsPerSecond, TimeProvider time)
    {
        OperationsPerSecond = operationsPerSecond;
        _time = time;
        Refill();
    }

    public int OperationsPerSecond { get; private set; }

    /// <summary>Another rate from now on; a debt stays a debt.</summary>
    public void SetRate(int operationsPerSecond)
    {
        lock (_gate)
        {
            Refill();
            OperationsPerSecond = operationsPerSecond;
            Refill();
        }
    }

    /// <summary>What the settings say, or what this machine can do when they leave it open.</summary>
    public static int RateOf(NotifyOptions options) => options.EcOperationsPerSecond > 0 ? options.EcOperationsPerSecond : Measured.Value;

    // ECDH for some ten milliseconds, once a process.
    private static readonly Lazy<int> Measured = new(Measure);

    private static int Measure()
    {
        using var ours = SecretKey.Generate();
        using var theirs = SecretKey.Generate();
        Span<byte> shared = stackalloc byte[32];
        var publicKey = theirs.PublicKey;
        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < MeasuredOperations; i++)
        {
            ours.TryDeriveSharedX(publicKey, shared);
        }

        shared.Clear();
        var perSecond = MeasuredOperations / Stopwatch.GetElapsedTime(started).TotalSeconds;
        return Math.Max(100, (int)(perSecond * Environment.ProcessorCount * Share));
    }

    /// <summary>Time until the debt is paid; zero when work may begin.</summary>
    public TimeSpan UntilAvailable()
    {
        lock (_gate)
        {
            Refill();
            return _bucket.Left > 0 ? TimeSpan.Zero : TimeSpan.FromSeconds((1 - _bucket.Left) / OperationsPerSecond);
        }
    }

    /// <summary>Charges what was or will be done.</summary>
    public void Charge(int operations)
    {
        lock (_gate)
        {
            Refill();
            _bucket.Left -= operations;
        }
    }

    // A second's worth may be used at once.
    private void Refill() => _bucket.Refill(_time, OperationsPerSecond, OperationsPerSecond);
}
