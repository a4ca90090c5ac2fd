using System.Text.Json;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Endpoints;

/// <summary>Answers with one descriptor (201 new, 200 known: BUD-02, BUD-04) or a page of them (BUD-12).</summary>
internal sealed class DescriptorWriter(ServerNames names)
{
    public async ValueTask WriteAsync(HttpContext context, BlobEntry entry, bool isNew)
    {
        context.Response.StatusCode = isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK;
        if (entry.ExpiresAt is { } ends)
        {
            context.Response.Headers["Sunset"] = BlobEndpoint.SunsetText(ends);
        }

        await WriteJsonAsync(context, json => BlobDescriptor.Write(json, entry, names.OriginFor(context)));
    }

    public ValueTask WriteAsync(HttpContext context, IReadOnlyList<BlobEntry> page) => WriteJsonAsync(context, json =>
    {
        json.WriteStartArray();
        foreach (var entry in page)
        {
            BlobDescriptor.Write(json, entry, names.OriginFor(context));
        }

        json.WriteEndArray();
    });

    private static async ValueTask WriteJsonAsync(HttpContext context, Action<Utf8JsonWriter> write)
    {
        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "no-store";
        await using (var json = new Utf8JsonWriter(context.Response.BodyWriter))
        {
            write(json);
        }

        await context.Response.BodyWriter.FlushAsync(context.RequestAborted);
    }
}
