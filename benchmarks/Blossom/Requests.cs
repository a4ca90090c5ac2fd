using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Benchmarks.Blossom;

/// <summary>One upload, made before the clock runs: the token is signed, the hash is known. Bodies larger than a piece repeat it.</summary>
internal sealed record Upload(string Path, byte[] BlossomHead, byte[] NginxHead, byte[] Piece, long Repeats)
{
    private const int PieceBytes = 1024 * 1024;

    public static Upload Create(long size)
    {
        var piece = RandomNumberGenerator.GetBytes((int)Math.Min(size, PieceBytes));
        var repeats = size / piece.Length;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (long i = 0; i < repeats; i++)
        {
            hash.AppendData(piece);
        }

        using var key = SecretKey.Generate(); // a fresh one for each blob, as Marmot's clients have
        var digest = new Bytes32(hash.GetHashAndReset());
        var token = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [digest], null, DateTimeOffset.UtcNow, TimeSpan.FromHours(1));
        return new Upload($"/{digest}", Head("/upload", $"Authorization: {token}\r\nX-SHA-256: {digest}\r\n", size), Head($"/{digest}", "", size),
            piece, repeats);
    }

    public static Upload[] Create(long size, int count) => [.. ParallelEnumerable.Range(0, count).Select(_ => Create(size))];

    public static byte[] Get(string path, string headers = "") => Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");

    private static byte[] Head(string path, string headers, long size) =>
        Encoding.ASCII.GetBytes($"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {size}\r\n\r\n");
}
