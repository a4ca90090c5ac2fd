using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Triggers;

/// <summary>At most one hint for a device in the coalescing window, and at most so many a minute and an hour; the same for each encrypted token, before it is decrypted.</summary>
/// <remarks>Knows devices and tokens by keyed hash only. Two tables of fixed size: their memory is the same at one device and at a million.</remarks>
internal sealed class DeviceGate
{
    private readonly KeyedLimiter _devices;
    private readonly KeyedLimiter _tokens;
    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(32);

    public DeviceGate(NotifyOptions options, TimeProvider time)
    {
        _devices = new KeyedLimiter(options.LimiterCapacity, time, Window(options), Minute(options), Hour(options));
        _tokens = new KeyedLimiter(options.LimiterCapacity, time, Minute(options), Hour(options));
    }

    /// <summary>Bytes of both tables.</summary>
    public long TableBytes => _devices.TableBytes + _tokens.TableBytes;

    /// <summary>Takes over other rates; what devices owe stays. The size of the tables is for the next start.</summary>
    public void Apply(NotifyOptions options)
    {
        _devices.SetRates(Window(options), Minute(options), Hour(options));
        _tokens.SetRates(Minute(options), Hour(options));
    }

    /// <summary>False when the same ciphertext came too often: whoever replays it in ever new triggers gets no more curve operations for it.</summary>
    /// <param name="ciphertext">SHA-256 of the encrypted token.</param>
    public bool TryTakeToken(in Bytes32 ciphertext) => _tokens.TryAdmit(ciphertext);

    /// <summary>Null when the device may get a hint now, else the cause as a metric's label.</summary>
    /// <param name="app">Two apps never share a device's allowance.</param>
    /// <param name="platform">The provider.</param>
    /// <param name="token">The device token.</param>
    /// <param name="device">For <see cref="GiveBack"/>.</param>
    public string? TryTake(string app, DevicePlatform platform, ReadOnlySpan<byte> token, out Bytes32 device)
    {
        device = Identify(app, platform, token);
        return _devices.TryAdmit(device, out var refusedBy) ? null
            : refusedBy == 0 ? "coalesced" // a hint carries nothing: the one just sent stands for this one too
            : "device-rate";
    }

    /// <summary>The hint was not sent after all.</summary>
    public void GiveBack(in Bytes32 device) => _devices.Refund(device);

    /// <summary>The token's trigger was not done after all.</summary>
    public void GiveBackToken(in Bytes32 ciphertext) => _tokens.Refund(ciphertext);

    private static Rate Window(NotifyOptions options) => options.CoalescingWindow > TimeSpan.Zero ? new Rate(options.CoalescingWindow, 1) : Rate.Off;

    private static Rate Minute(NotifyOptions options) => Rate.Per(TimeSpan.FromMinutes(1), options.DeviceHintsPerMinute, options.DeviceHintsPerMinute / 10);

    // A minute's worth may come at once: the rate of the minute is the stricter one then.
    private static Rate Hour(NotifyOptions options) => Rate.Per(TimeSpan.FromHours(1), options.DeviceHintsPerHour, Math.Min(options.DeviceHintsPerMinute, options.DeviceHintsPerHour));

    private Bytes32 Identify(string app, DevicePlatform platform, ReadOnlySpan<byte> token)
    {
        // app | 0 | platform | token: app names hold no zero byte, so nothing else reads the same.
        Span<byte> text = stackalloc byte[NotifyAppOptions.MaxNameLength + 2 + TokenDialects.MaxTokenSize];
        var length = Encoding.UTF8.GetBytes(app, text);
        text[length++] = 0;
        text[length++] = (byte)platform;
        token.CopyTo(text[length..]);
        length += token.Length;
        Span<byte> digest = stackalloc byte[32];
        HMACSHA256.HashData(_secret, text[..length], digest);
        CryptographicOperations.ZeroMemory(text);
        return new Bytes32(digest);
    }
}
