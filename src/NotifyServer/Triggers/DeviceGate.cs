using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Triggers;

/// <summary>At most one hint for a device in the coalescing window, and at most so many a minute. Knows devices by keyed hash only.</summary>
internal sealed class DeviceGate
{
    private readonly KeyedLimiter _rate;
    private readonly KeyedLimiter? _window;
    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(32);

    public DeviceGate(NotifyOptions options, TimeProvider time)
    {
        _rate = new KeyedLimiter(
            options.LimiterCapacity, TimeSpan.FromMinutes(1) / options.DeviceHintsPerMinute, Math.Max(1, options.DeviceHintsPerMinute / 10), time);
        _window = options.CoalescingWindow > TimeSpan.Zero ? new KeyedLimiter(options.LimiterCapacity, options.CoalescingWindow, burst: 1, time) : null;
    }

    /// <summary>Null when the device may get a hint now, else the cause as a metric's label.</summary>
    /// <param name="app">Two apps never share a device's allowance.</param>
    /// <param name="platform">The provider.</param>
    /// <param name="token">The device token.</param>
    /// <param name="device">For <see cref="GiveBack"/>.</param>
    public string? TryTake(string app, DevicePlatform platform, ReadOnlySpan<byte> token, out Bytes32 device)
    {
        device = Identify(app, platform, token);
        if (_window is not null && !_window.TryAdmit(device))
        {
            return "coalesced"; // a hint carries nothing: the one just sent stands for this one too
        }

        if (!_rate.TryAdmit(device))
        {
            _window?.Refund(device);
            return "device-rate";
        }

        return null;
    }

    /// <summary>The hint was not sent after all.</summary>
    public void GiveBack(in Bytes32 device)
    {
        _window?.Refund(device);
        _rate.Refund(device);
    }

    private Bytes32 Identify(string app, DevicePlatform platform, ReadOnlySpan<byte> token)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _secret);
        hmac.AppendData(Encoding.UTF8.GetBytes(app));
        hmac.AppendData([0, (byte)platform]);
        hmac.AppendData(token);
        Span<byte> digest = stackalloc byte[32];
        hmac.GetHashAndReset(digest);
        return new Bytes32(digest);
    }
}
