using System.Buffers;
using Marmot.Blossom.Intake;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Endpoints;

/// <summary>JSON bodies of /mirror and /report, read whole under a cap.</summary>
internal static class SmallBody
{
    public const int MaxBytes = 64 * 1024;

    /// <exception cref="BodyReadException">The client broke off, or what it sends is no body.</exception>
    /// <returns>Null when the body is larger than <see cref="MaxBytes"/>.</returns>
    public static async ValueTask<byte[]?> ReadAsync(HttpContext context)
    {
        var body = context.Request.BodyReader;
        while (true)
        {
            var read = await BodyReadException.ReadAsync(body, context.RequestAborted);
            if (read.Buffer.Length > MaxBytes)
            {
                body.AdvanceTo(read.Buffer.End);
                return null;
            }

            if (read.IsCompleted)
            {
                var bytes = read.Buffer.ToArray();
                body.AdvanceTo(read.Buffer.End);
                return bytes;
            }

            body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }
}
