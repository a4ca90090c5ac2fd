using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;

namespace Marmot.Client;

/// <summary>A device that wants to be rung for a group.</summary>
/// <param name="Platform">The push service.</param>
/// <param name="DeviceToken">APNs: raw bytes. FCM: the token's text as bytes.</param>
/// <param name="Server">The notification server's key.</param>
/// <param name="RelayHint">A relay the server listens on.</param>
/// <param name="Dialect">MIP-05 with 280 or 1,084 bytes a token.</param>
public sealed record PushRegistration(DevicePlatform Platform, byte[] DeviceToken, Bytes32 Server, string RelayHint,
    TokenDialect Dialect = TokenDialect.Mip05Long)
{
    /// <summary>When the group was last told, Unix seconds.</summary>
    public long ToldAt { get; init; }
}
