using Marmot.Hosting;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Dispatch;

internal enum CircuitState
{
    Closed,
    Open,

    /// <summary>One push is let through to see.</summary>
    HalfOpen,
}

/// <summary>Stops sending through a lane that cannot deliver, and lets one push through now and then to see.</summary>
/// <remarks>Only provider-wide failures are told to it; a stranger's bad tokens never reach it. Thread-safe.</remarks>
internal sealed class CircuitBreaker(TimeProvider time)
{
    /// <summary>Transient failures in a row that open it.</summary>
    public const int TransientFailures = 10;

    private static readonly TimeSpan TransientPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CredentialPause = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(20);

    private readonly Lock _gate = new();
    private int _failures;
    private TimeSpan _openUntil;
    private bool _probing;

    public CircuitState State { get; private set; }

    /// <summary>Why it opened.</summary>
    public PushReason Reason { get; private set; }

    /// <summary>True when a request may go now; otherwise <paramref name="wait"/> says when to ask again.</summary>
    public bool TryPass(out TimeSpan wait)
    {
        lock (_gate)
        {
            wait = TimeSpan.Zero;
            if (State == CircuitState.Closed)
            {
                return true;
            }

            var left = _openUntil - time.GetUptime();
            if (left > TimeSpan.Zero)
            {
                wait = left;
                return false;
            }

            if (_probing)
            {
                wait = TimeSpan.FromSeconds(1);
                return false;
            }

            State = CircuitState.HalfOpen;
            _probing = true;
            return true;
        }
    }

    /// <summary>The provider answered as one that works, whatever it thought of the token.</summary>
    public void Succeeded()
    {
        lock (_gate)
        {
            State = CircuitState.Closed;
            Reason = PushReason.None;
            _failures = 0;
            _probing = false;
        }
    }

    /// <summary>Another credential: what the old one met is forgotten.</summary>
    public void Reset() => Succeeded();

    /// <summary>The request ended without a word on the provider (cancelled).</summary>
    public void Abandoned()
    {
        lock (_gate)
        {
            _probing = false;
        }
    }

    public void TransientFailure(PushReason reason) => Failed(reason, TransientFailures, TransientPause);

    /// <param name="reason">The provider's word.</param>
    /// <param name="pause">Its wish, if it has one.</param>
    public void CredentialFailure(PushReason reason, TimeSpan? pause) => Failed(reason, 1, pause > CredentialPause ? pause.Value : CredentialPause);

    private void Failed(PushReason reason, int limit, TimeSpan pause)
    {
        lock (_gate)
        {
            _failures++;
            var wasProbe = _probing;
            _probing = false;
            if (wasProbe || _failures >= limit)
            {
                State = CircuitState.Open;
                Reason = reason;
                _openUntil = time.GetUptime() + (pause > LongestPause ? LongestPause : pause);
            }
        }
    }
}
