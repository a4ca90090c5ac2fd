using System.Buffers;
using System.Security.Cryptography;

namespace Marmot.NotifyServer.Providers;

/// <summary>One hint for one device. Owns the only copy of the device token, in a rented buffer that is wiped on Dispose; prints nothing.</summary>
internal sealed class PushJob : IDisposable
{
    private readonly int _length;
    private byte[]? _token;
    private Guid _id;

    public PushJob(ReadOnlySpan<byte> deviceToken, TimeSpan arrived, TimeSpan deadline)
    {
        _token = ArrayPool<byte>.Shared.Rent(deviceToken.Length);
        _length = deviceToken.Length;
        deviceToken.CopyTo(_token);
        Arrived = arrived;
        Deadline = deadline;
    }

    /// <summary>Sent with every repeat, so that a repeat after a lost answer can be recognised. Made when first asked for, by the one who sends.</summary>
    public Guid Id => _id == Guid.Empty ? _id = Guid.NewGuid() : _id;

    /// <summary>When the event came in from the relay, or when the hold ends, as <see cref="Hosting.MonotonicTime.GetUptime"/> counts.</summary>
    public TimeSpan Arrived { get; private set; }

    /// <summary>When the hint is worth nothing any more, by the same count.</summary>
    public TimeSpan Deadline { get; private set; }

    /// <summary>How long it waits before its first try: to the end of its device's coalescing window. Zero: not at all.</summary>
    public TimeSpan Held { get; private set; }

    /// <summary>Requests made so far.</summary>
    public int Attempts { get; set; }

    /// <summary>Requests that went out and were never answered.</summary>
    public int Uncertain { get; set; }

    /// <summary>Asks when the hold ends: false when another replica has rung the device since the hint came. Null where there is but one.</summary>
    public Func<Task<bool>>? ClaimAsync { get; set; }

    public ReadOnlySpan<byte> DeviceToken => _token is { } token ? token.AsSpan(0, _length) : throw new ObjectDisposedException(nameof(PushJob));

    /// <summary>Puts the first try off; the hint's lifetime begins then. To be called by its maker only.</summary>
    public void Hold(TimeSpan wait)
    {
        Held += wait;
        Arrived += wait;
        Deadline += wait;
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _token, null) is { } token)
        {
            CryptographicOperations.ZeroMemory(token.AsSpan(0, _length));
            ArrayPool<byte>.Shared.Return(token);
        }
    }

    public override string ToString() => nameof(PushJob);
}
