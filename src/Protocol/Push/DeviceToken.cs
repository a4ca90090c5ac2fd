namespace Marmot.Protocol.Push;

/// <summary>A decrypted device token, lying in the caller's buffer (MIP-05, Token Payload).</summary>
/// <remarks>The caller wipes the buffer as soon as the notification is on its way; nothing here copies or prints the token.</remarks>
public readonly ref struct DeviceToken
{
    internal DeviceToken(DevicePlatform platform, ReadOnlySpan<byte> value)
    {
        Platform = platform;
        Value = value;
    }

    /// <summary>The push service.</summary>
    public DevicePlatform Platform { get; }

    /// <summary>APNs: raw bytes, written as hex in the request path. FCM: the registration token as text.</summary>
    public ReadOnlySpan<byte> Value { get; }

    /// <summary>Names the platform only.</summary>
    public override string ToString() => Platform.ToString();
}
