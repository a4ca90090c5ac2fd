using System.Text.Json.Nodes;
using Marmot.Client;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Push;

namespace Marmot.Cli.Agent;

/// <summary>Files, pictures and push.</summary>
internal sealed partial class AgentSession
{
    private JsonObject EncryptMedia(AgentRequest request)
    {
        byte[] file = Base64(request.Text("data"), "data");
        var (media, blob) = Client.EncryptMedia(request.Group, file, request.Text("type"), request.Text("filename"));
        return new JsonObject { ["encrypted"] = Convert.ToBase64String(blob), ["attachment"] = AgentJson.Of(media, file.Length) };
    }

    private JsonObject DecryptMedia(AgentRequest request)
    {
        var attachment = request.Find("attachment") is { ValueKind: System.Text.Json.JsonValueKind.Object } given
            ? given
            : throw new ClientException("attachment is missing");
        string Field(string name) =>
            attachment.TryGetProperty(name, out var value) && value.GetString() is { } text ? text : throw new ClientException($"attachment.{name} is missing");
        if (Field("version") != MediaReference.Version)
        {
            throw new ClientException($"media of version {Field("version")} is refused");
        }

        var media = new MediaReference
        {
            Url = "",
            MimeType = MediaReference.CanonicalMimeType(Field("type")),
            Filename = Field("filename"),
            PlaintextHash = Bytes32.TryParseHex(Field("sha256").AsSpan(), out var hash)
                ? hash
                : throw new ClientException("attachment.sha256 must be 64 hex digits"),
            Nonce = Field("nonce") is { Length: 24 } nonce ? Convert.FromHexString(nonce) : throw new ClientException("attachment.nonce must be 24 hex digits"),
        };
        return new JsonObject { ["data"] = Convert.ToBase64String(Client.DecryptMedia(request.Group, media, Base64(request.Text("encrypted"), "encrypted"))) };
    }

    private async Task<JsonObject> SendFileAsync(AgentRequest request, CancellationToken cancellationToken) => Sent(await Client.SendFileAsync(
        request.Group, Base64(request.Text("data"), "data"), request.Text("type"), request.Text("filename"), request.OptionalText("content") ?? "",
        cancellationToken));

    private async Task<JsonObject> GetFileAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var message = Client.GetMessage(request.Group, request.Text("message"));
        var (media, file) = await Client.GetFileAsync(request.Group, message.Rumor, cancellationToken);
        return new JsonObject { ["data"] = Convert.ToBase64String(file), ["attachment"] = AgentJson.Of(media, file.Length) };
    }

    private async Task<JsonObject> RegisterPushAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var platform = request.Text("platform") switch
        {
            "apns" => DevicePlatform.Apns,
            "fcm" => DevicePlatform.Fcm,
            _ => throw new ClientException("platform is apns or fcm"),
        };
        var dialect = (request.OptionalNumber("size") ?? 1084) switch
        {
            1084 => TokenDialect.Mip05Long,
            280 => TokenDialect.Mip05Short,
            _ => throw new ClientException("size is 280 or 1084"),
        };
        byte[] token = Base64(request.Text("token"), "token");
        return Sent(await Client.RegisterPushAsync(request.Group, new PushRegistration(platform, token, request.Key("server"), request.Text("relay"), dialect),
            cancellationToken));
    }
}
