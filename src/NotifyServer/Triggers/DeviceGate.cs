using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Platform.Native;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Triggers;

/// <summary>One hint for a device in a coalescing window and one at its end if more came, and at most so many a minute and an hour; the rates also for each
/// encrypted token, before it is decrypted.</summary>
/// <remarks>Knows devices and tokens by keyed hash only. Two tables of fixed size: their memory is the same at one device and at a million.</remarks>
internal sealed class DeviceGate
{
    private readonly KeyedLimiter _devices;
    private readonly KeyedLimiter _tokens;
    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(Sodium.ShortHashSize);

    public DeviceGate(NotifyOptions options, TimeProvider time)
    {
        _devices = new KeyedLimiter(options.LimiterCapacity, time, Window(options), Minute(options), Hour(options));
        _tokens = new KeyedLimiter(options.LimiterCapacity, time, Minute(options), Hour(options));
    }

    /// <summary>Bytes of both tables.</summary>
    public long TableBytes => _devices.TableBytes + _tokens.TableBytes;

    /// <summary>Takes over other rates; their debts stay. The size of the tables is for the next start.</summary>
    public void Apply(NotifyOptions options)
    {
        _devices.SetRates(Window(options), Minute(options), Hour(options));
        _tokens.SetRates(Minute(options), Hour(options));
    }

    /// <summary>The name of an encrypted token in this process: equal for equal ones, and nobody outside can tell which others share a place with it.</summary>
    public Bytes32 IdentifyToken(ReadOnlySpan<byte> ciphertext) => Identify(ciphertext);

    /// <summary>False when the same ciphertext came too often: whoever replays it in ever new triggers gets no more curve operations for it.</summary>
    /// <param name="ciphertext">Its name by <see cref="IdentifyToken"/>.</param>
    public bool TryTakeToken(in Bytes32 ciphertext) => _tokens.TryAdmit(ciphertext);

    /// <summary>The name of a device in this process.</summary>
    /// <param name="app">Two apps never share a device's allowance.</param>
    /// <param name="platform">The provider.</param>
    /// <param name="token">The device token.</param>
    public Bytes32 Identify(string app, DevicePlatform platform, ReadOnlySpan<byte> token)
    {
        // app | 0 | platform | token: app names hold no zero byte, so nothing else reads the same.
        Span<byte> text = stackalloc byte[NotifyAppOptions.MaxNameLength + 2 + TokenDialects.MaxTokenSize];
        var length = Encoding.UTF8.GetBytes(app, text);
        text[length++] = 0;
        text[length++] = (byte)platform;
        token.CopyTo(text[length..]);
        length += token.Length;
        var id = Identify(text[..length]);
        CryptographicOperations.ZeroMemory(text[..length]);
        return id;
    }

    /// <summary>Null when the device may get a hint, else why not.</summary>
    /// <param name="device">Its name by <see cref="Identify(string, DevicePlatform, ReadOnlySpan{byte})"/>.</param>
    /// <param name="wait">How long the hint has to wait: a device that was rung within the window is rung again when it ends, since it may sleep again by
    /// now.</param>
    public TokenLoss? TryTake(in Bytes32 device, out TimeSpan wait) =>
        _devices.TryAdmit(device, out var refusedBy, out wait) ? null
        : refusedBy == 0 ? TokenLoss.Coalesced // a hint carries nothing: the one that waits stands for this one too
        : TokenLoss.DeviceRate;

    /// <summary>The hint was not sent after all.</summary>
    public void GiveBack(in Bytes32 device) => _devices.Refund(device);

    /// <summary>The token's trigger was not done after all.</summary>
    public void GiveBackToken(in Bytes32 ciphertext) => _tokens.Refund(ciphertext);

    // Two at once, of which the second waits for its turn: that one is the hint at the window's end.
    private static Rate Window(NotifyOptions options) => options.CoalescingWindow > TimeSpan.Zero ? new Rate(options.CoalescingWindow, 2) : Rate.Off;

    private static Rate Minute(NotifyOptions options) => Rate.Per(TimeSpan.FromMinutes(1), options.DeviceHintsPerMinute, options.DeviceHintsPerMinute / 10);

    // A minute's worth may come at once: the rate of the minute is the stricter one then.
    private static Rate Hour(NotifyOptions options) =>
        Rate.Per(TimeSpan.FromHours(1), options.DeviceHintsPerHour, Math.Min(options.DeviceHintsPerMinute, options.DeviceHintsPerHour));

    private Bytes32 Identify(ReadOnlySpan<byte> text)
    {
        Span<byte> id = stackalloc byte[Bytes32.Size];
        id.Clear();
        Sodium.ShortHash(_secret, text, id[..Sodium.ShortHashSize]);
        return new Bytes32(id);
    }
}
