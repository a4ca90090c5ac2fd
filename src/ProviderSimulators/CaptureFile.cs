using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Marmot.ProviderSimulators;

/// <summary>
/// The file behind <c>--capture</c>: one JSON object a line for each request, flushed at once. Bearer tokens lose their last
/// part (a JWT's signature), so that a capture can be shared; device tokens stay, they are what it is for. <see cref="Write"/>
/// runs under the request log's lock.
/// </summary>
internal sealed class CaptureFile(string path) : IDisposable
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly StreamWriter _file = new(new FileStream(path, CredentialFolder.OwnerOnly(FileMode.Append)), new UTF8Encoding(false))
    {
        NewLine = "\n",
        AutoFlush = true,
    };

    public void Write(SimulatedRequest request) => _file.WriteLine(ToLine(request));

    public void Dispose() => _file.Dispose();

    internal static string ToLine(SimulatedRequest request) => JsonSerializer.Serialize(new
    {
        request.Number,
        Time = request.Time.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", System.Globalization.CultureInfo.InvariantCulture),
        Connection = request.ConnectionId,
        Stream = request.StreamId,
        request.Method,
        request.Path,
        request.Token,
        request.Topic,
        request.Status,
        request.Reason,
        request.Accepted,
        request.Warnings,
        Headers = request.Headers.Select(header => new[] { header.Key, header.Key == "authorization" ? WithoutSignature(header.Value) : header.Value }),
        Body = Encoding.UTF8.GetString(request.Body.Span),
    }, Json);

    private static string WithoutSignature(string authorization)
    {
        var dot = authorization.LastIndexOf('.');
        return dot < 0 ? authorization : authorization[..dot] + ".…";
    }
}
