using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Providers;

/// <summary>What is needed of a Google service account's JSON file.</summary>
internal sealed record ServiceAccount(string ProjectId, string ClientEmail, string PrivateKeyId, Uri TokenUri, RSA PrivateKey)
{
    private const string DefaultTokenUri = "https://oauth2.googleapis.com/token";

    /// <summary>Reads the file.</summary>
    /// <exception cref="InvalidDataException">Something is missing; the message names the field and quotes nothing.</exception>
    public static ServiceAccount Load(string path)
    {
        try
        {
            using var json = JsonDocument.Parse(SecretFile.ReadText(path));
            var root = json.RootElement;
            var key = RSA.Create();
            key.ImportFromPem(Text(root, "private_key"));
            var tokenUri = root.TryGetProperty("token_uri", out var uri) ? uri.GetString() : null;
            return new ServiceAccount(
                Text(root, "project_id"),
                Text(root, "client_email"),
                Text(root, "private_key_id"),
                new Uri(tokenUri ?? DefaultTokenUri),
                key);
        }
        catch (Exception e) when (e is JsonException or ArgumentException or CryptographicException or InvalidOperationException or UriFormatException)
        {
            throw new InvalidDataException($"{path}: not a service account file"); // the cause may quote the file
        }
    }

    public override string ToString() => nameof(ServiceAccount);

    private static string Text(JsonElement root, string field) =>
        root.TryGetProperty(field, out var value) && value.GetString() is { Length: > 0 } text
            ? text
            : throw new InvalidDataException($"the service account file lacks {field}");
}
