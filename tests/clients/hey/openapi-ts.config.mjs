/** Usage: openapi-ts -i DOCUMENT */
export default {
  input: "orders.json",
  output: { path: "generated", importFileExtension: ".js" },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
