using System.Buffers;
using System.Security.Cryptography;

namespace Marmot.NotifyServer.Providers;

/// <summary>One hint for one device. Owns the only copy of the device token, in a rented buffer that is wiped on Dispose; prints nothing.</summary>
internal sealed class PushJob : IDisposable
{
    private readonly int _length;
    private byte[]? _token;

    public PushJob(ReadOnlySpan<byte> deviceToken, DateTimeOffset arrived, DateTimeOffset deadline)
    {
        _token = ArrayPool<byte>.Shared.Rent(deviceToken.Length);
        _length = deviceToken.Length;
        deviceToken.CopyTo(_token);
        Arrived = arrived;
        Deadline = deadline;
    }

    /// <summary>Sent with every repeat, so that a repeat after a lost answer can be recognised.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>When the event came in from the relay.</summary>
    public DateTimeOffset Arrived { get; }

    /// <summary>When the hint is worth nothing any more.</summary>
    public DateTimeOffset Deadline { get; }

    /// <summary>Requests made so far.</summary>
    public int Attempts { get; set; }

    /// <summary>Requests that went out and were never answered.</summary>
    public int Uncertain { get; set; }

    public ReadOnlySpan<byte> DeviceToken => _token is { } token ? token.AsSpan(0, _length) : throw new ObjectDisposedException(nameof(PushJob));

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
