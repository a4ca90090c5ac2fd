using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Intake;

/// <summary>What came in: the hash over the exact bytes, and how many they were.</summary>
internal readonly record struct ReceivedBlob(Bytes32 Hash, long Length);

/// <summary>Streams a body into a draft, hashing and counting on the way. Holds no buffer of its own: a stuck upload costs nothing but its
/// connection.</summary>
internal sealed class BlobIntake(IOptions<BlossomOptions> options, UploadPolicy policy)
{
    private const long SpaceCheckBytes = 16L * 1024 * 1024;

    /// <summary>Reads to the end of the body or to the first byte too many. The caller owns the draft.</summary>
    /// <remarks><paramref name="progress"/> is told of every piece, for metrics.</remarks>
    /// <exception cref="BodyReadException">The sender broke off, or what it sends is no body. Every other exception is the storage's.</exception>
    public async ValueTask<(ReceivedBlob Blob, Refusal? Refusal)> ReceiveAsync(PipeReader body, BlobDraft draft, Action<long>? progress,
        CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long length = 0;
        long nextSpaceCheck = SpaceCheckBytes;
        while (true)
        {
            var read = await BodyReadException.ReadAsync(body, cancellationToken);
            var bytes = read.Buffer;
            length += bytes.Length;
            if (length > options.Value.MaxUploadBytes)
            {
                body.AdvanceTo(bytes.End);
                return (default, Refusal.TooLarge(options.Value.MaxUploadBytes));
            }

            try
            {
                if (!bytes.IsEmpty)
                {
                    foreach (var segment in bytes)
                    {
                        hash.AppendData(segment.Span);
                    }

                    await draft.AppendAsync(bytes, cancellationToken);
                    progress?.Invoke(bytes.Length);
                }
            }
            finally
            {
                body.AdvanceTo(bytes.End); // also when the disk is full: the server can drain only a body nobody is reading
            }

            if (read.IsCompleted)
            {
                return (new ReceivedBlob(Finish(hash), length), null);
            }

            if (length >= nextSpaceCheck)
            {
                nextSpaceCheck = length + SpaceCheckBytes;
                if (!policy.HasRoomFor(0))
                {
                    return (default, Refusal.Full);
                }
            }
        }
    }

    private static Bytes32 Finish(IncrementalHash hash)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        return new Bytes32(digest);
    }
}
