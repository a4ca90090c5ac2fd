using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Marmot.Hosting.Callers;

/// <summary>What counts as one caller in every limit of the suite: an IPv4 address, or the /56 of an IPv6 address, which is what one household gets.</summary>
/// <remarks>Kept in memory only, never logged.</remarks>
/// <param name="Value">4 or 6 in the highest byte, the address or the prefix in the others.</param>
public readonly record struct AddressPrefix(ulong Value)
{
    /// <summary>Bytes of <see cref="Write"/>.</summary>
    public const int Size = sizeof(ulong);

    private const ulong IPv4 = 4UL << 56;
    private const ulong IPv6 = 6UL << 56;

    /// <summary>The prefix of an address; an IPv4 address written as IPv6 is the IPv4 address.</summary>
    public static AddressPrefix Of(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        var plain = CallerAddress.Unmapped(address);
        plain.TryWriteBytes(bytes, out _);
        return plain.AddressFamily == AddressFamily.InterNetworkV6
            ? new AddressPrefix(IPv6 | (BinaryPrimitives.ReadUInt64BigEndian(bytes) >> 8))
            : new AddressPrefix(IPv4 | BinaryPrimitives.ReadUInt32BigEndian(bytes));
    }

    /// <summary>Writes <see cref="Size"/> bytes.</summary>
    public void Write(Span<byte> destination) => BinaryPrimitives.WriteUInt64BigEndian(destination, Value);
}

/// <summary>What every server means by a caller's address.</summary>
public static class CallerAddress
{
    /// <summary>An IPv4 address that a dual-stack socket shows as IPv6, as the IPv4 address it is.</summary>
    public static IPAddress Unmapped(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>True for addresses of this machine.</summary>
    public static bool IsLoopback(IPAddress address) => IPAddress.IsLoopback(Unmapped(address));

    /// <summary>Whose limits a caller uses; null when it is not counted: it has no address (a Unix socket), or it is of this machine and
    /// <paramref name="countLoopback"/> is off.</summary>
    public static AddressPrefix? PrefixOf(IPAddress? address, bool countLoopback) =>
        address is null || (!countLoopback && IsLoopback(address)) ? null : AddressPrefix.Of(address);
}
