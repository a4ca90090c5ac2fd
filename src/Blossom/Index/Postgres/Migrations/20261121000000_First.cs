using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Blossom.Index.Postgres.Migrations;

/// <summary>Blobs, claims, facts.</summary>
[DbContext(typeof(BlossomDbContext))]
[Migration("20261121000000_First")]
internal sealed class First : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.CreateTable(
            "blossom_blobs",
            table => new
            {
                hash = table.Column<byte[]>("bytea"),
                size = table.Column<long>("bigint"),
                type = table.Column<string>("character varying(127)", maxLength: 127),
                mark = table.Column<Guid>("uuid"),
            },
            constraints: table => table.PrimaryKey("blossom_blobs_key", row => row.hash));
        migrationBuilder.CreateTable(
            "blossom_claims",
            table => new
            {
                hash = table.Column<byte[]>("bytea"),
                owner = table.Column<byte[]>("bytea"),
                uploaded = table.Column<long>("bigint"),
                expires = table.Column<long>("bigint", nullable: true),
            },
            constraints: table =>
            {
                table.PrimaryKey("blossom_claims_key", row => new { row.hash, row.owner });
                table.ForeignKey("blossom_claims_blob", row => row.hash, "blossom_blobs", "hash", onDelete: ReferentialAction.Cascade);
            });
        migrationBuilder.CreateTable(
            "blossom_facts",
            table => new
            {
                name = table.Column<string>("text"),
                value = table.Column<byte[]>("bytea"),
            },
            constraints: table => table.PrimaryKey("blossom_facts_key", row => row.name));
        migrationBuilder.CreateIndex("blossom_claims_by_end", "blossom_claims", "expires", filter: "expires IS NOT NULL");
        migrationBuilder.CreateIndex("blossom_claims_by_owner", "blossom_claims", ["owner", "uploaded", "hash"], descending: [false, true, false]);
    }

    protected override void Down(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.DropTable("blossom_claims");
        migrationBuilder.DropTable("blossom_blobs");
        migrationBuilder.DropTable("blossom_facts");
    }
}
