using Marmot.Protocol.Encoding;

namespace Marmot.Hosting.Cluster;

/// <summary>Small values that all replicas share until they end. The first offer stands; nothing is promised to survive.</summary>
public interface ISharedValues
{
    /// <summary>Puts a value there unless one is; what is there then.</summary>
    /// <param name="name">What.</param>
    /// <param name="value">At most a few KiB. A secret is sealed by its owner before it comes here.</param>
    /// <param name="lifetime">How long it stands.</param>
    /// <param name="cancel">Gives up waiting.</param>
    /// <exception cref="IOException">The server cannot be asked.</exception>
    ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel);
}
